# SPDX-License-Identifier: GPL-2.0-only
"""The rows of the table that tools/bench.sh makes.

A row names the figures of which it is made, see tests/guest/cost.c. Those of
iommufd are there twice, measured on either kernel.
"""
import dataclasses

PAGES = 262144      # of 4 KiB in 1 GiB

KINDS = {
    "thp": "THP in long runs",
    "lone_thp": "THP, no two neighbours",
    "hugetlb": "hugetlb 2 MiB",
    "gigantic": "hugetlb 1 GiB",
    "sequential": "4 KiB sequential",
    "scattered": "4 KiB, no two neighbours",
    "unfaulted": "unfaulted",
}
FAULTED = [kind for kind in KINDS if kind != "unfaulted"]


@dataclasses.dataclass
class Row:
    """iommufd, type1 and floor name figures; the last two can be missing.

    The target is a number, or follows from the floor: FACTOR times that, and
    a number of instructions for each call, of which the figure has a share."""
    section: str
    operation: str
    memory: str
    iommufd: str
    type1: str = ""
    floor: str = ""
    share: float = 0
    target: float = 0


FACTOR = 1.3
PER_CALL = 1500


def bulk(section, operation, iommufd, type1, floor, kinds, calls=1 / PAGES):
    for kind in kinds:
        yield Row(section, operation, KINDS[kind], f"{iommufd}_{kind}",
                  type1 and f"{type1}_{kind}", floor and f"{floor}_{kind}",
                  calls)


def bulk_rows():
    section = "instructions per 4 KiB of 1 GiB"
    for operation in ("map", "unmap"):
        yield from bulk(section, operation, operation, f"type1_{operation}",
                        f"floor_{operation}", KINDS)
    shares = (
        ("copy to a second IOAS", "copy", "floor_show"),
        ("unmap the copy", "unmap_copy", "floor_hide"),
        ("attach a second domain", "attach_more", "floor_attach_more"),
        ("detach it", "detach_more", "floor_detach_more"),
        ("attach, nothing pinned", "attach", "floor_attach"),
        ("detach the last", "detach", "floor_detach"),
    )
    for operation, iommufd, floor in shares:
        yield from bulk(section, operation, iommufd, "", floor, FAULTED)


def compat_rows():
    section = "through type1's interface, per 4 KiB of 1 GiB"
    for operation in ("map", "unmap"):
        yield from bulk(section, f"{operation}, v2", f"compat2_{operation}",
                        f"type1_{operation}", f"floor_{operation}",
                        ("thp", "hugetlb", "scattered"))
        yield from bulk(section, f"{operation}, v1", f"compat1_{operation}",
                        f"type1v1_{operation}", "", ("thp", "scattered"))
        yield from bulk(section, f"{operation}, v1 with large pages",
                        f"large1_{operation}", f"type1v1_{operation}",
                        f"floor_{operation}", ("thp", "scattered"))


def small(operation, size, memory, target=0):
    section = "instructions per ioctl"
    yield Row(section, operation, memory, f"{operation}_{size}",
              f"type1_{operation}_{size}", f"floor_{operation}_{size}", 1,
              target)


def small_rows():
    section = "instructions per ioctl"
    sizes = {
        "page": "4 KiB",
        "page_beside": "4 KiB beside a mapping",
        "64k": "64 KiB, one run",
        "64k_scattered": "64 KiB, no two neighbours",
    }
    first = {"map": 2500, "unmap": 2150}
    for operation in ("map", "unmap"):
        for size, memory in sizes.items():
            yield from small(operation, size, memory,
                             first[operation] if size.startswith("page")
                             else 0)
    for operation, target in (("map", 1200), ("unmap", 0)):
        yield Row(section, f"{operation}, no domain", "4 KiB",
                  f"no_domain_{operation}_page", target=target)
    for operation in ("map", "unmap"):
        for size, memory in sizes.items():
            yield Row(section, f"{operation}, type1 v2's interface", memory,
                      f"compat2_{operation}_{size}",
                      f"type1_{operation}_{size}",
                      f"floor_{operation}_{size}", 1)


def access_rows():
    kinds = ("thp", "scattered")
    pins = (
        ("pin, nobody has it", "new_pin", "bare_pin"),
        ("pin, a domain has it", "shared_pin", "bare_pin"),
        ("pin, an access has it", "again_pin", "bare_pin"),
        ("unpin, nobody else has it", "new_unpin", "dirty_unpin"),
        ("unpin, a domain has it", "shared_unpin", ""),
        ("unpin, an access has it", "again_unpin", ""),
    )
    copies = (
        ("read what nobody has pinned", "mm_load", "user_load"),
        ("read what a domain has pinned", "shared_load", "bare_load"),
        ("read what an access has pinned", "held_load", "bare_load"),
        ("write what nobody has pinned", "mm_store", "user_store"),
        ("write what a domain has pinned", "shared_store", "bare_store"),
        ("write what an access has pinned", "held_store", "bare_store"),
    )
    for section, rows, size, share in (
            ("in-kernel users, per page of 512", pins, "bulk", 1 / 512),
            ("in-kernel users, one page", pins, "page", 1),
            ("in-kernel users, per 4 KiB of 1 MiB", copies, "bulk", 1 / 256),
            ("in-kernel users, 4 KiB", copies, "page", 1)):
        for operation, iommufd, floor in rows:
            yield from bulk(section, operation, f"{iommufd}_{size}", "",
                            floor and f"{floor}_{size}", kinds, share)


def area_rows():
    section = "many areas"
    for holes, what in (("", "automatic IOVA, no holes"),
                        ("holes_", "automatic IOVA, above 4 KiB holes")):
        for num in (1000, 10000, 100000, 1000000):
            yield Row(section, what, f"{num} areas", f"auto_{holes}{num}",
                      target=1500)
    section = "100000 areas of a page, instructions for each"
    yield Row(section, "map one by one", "with a domain", "map_many",
              "type1_map_many")
    yield Row(section, "unmap all in one call", "with a domain", "unmap_many",
              "type1_unmap_many")
    yield Row(section, "map one by one", "no domain", "no_domain_map_many")
    yield Row(section, "unmap all in one call", "no domain",
              "no_domain_unmap_many")
    yield Row("bytes", "slab for a mapping", "no domain", "slab", target=256)


def flush_rows():
    section = "flushes of the IOTLB for 1 GiB"
    for operation, target in (("map", 0), ("unmap", 4)):
        for kind in FAULTED:
            yield Row(section, operation, KINDS[kind],
                      f"{operation}_flushes_{kind}",
                      f"type1_{operation}_flushes_{kind}",
                      f"floor_{operation}_flushes_{kind}",
                      target=target)


def all_rows():
    for rows in (bulk_rows, small_rows, compat_rows, access_rows, area_rows,
                 flush_rows):
        yield from rows()
