# SPDX-License-Identifier: GPL-2.0-only
#
# For people. The kernel's build system reads Kbuild, not this file.

help:
	@echo 'IOMMUFD, the /dev/iommu of Linux 6.12. Targets (usual time on two cores):'
	@echo ''
	@echo '  demo             boot the stock Debian kernel in QEMU with our modules and let a'
	@echo '                   user-space NVMe driver read a disk (3 min, then 20 s)'
	@echo '  check            all tests; ends in "N passed, N failed" (see tools/check.sh)'
	@echo '  check PARTS=...  some of them, by the names that "tools/check.sh --list" prints'
	@echo '  check-clients    testpmd of DPDK and QEMU, as Debian ships them, on our /dev/iommu'
	@echo '                   (2 min)'
	@echo '  coverage         which lines of the page store and the map the tests reach, into'
	@echo '                   build/coverage (20 min)'
	@echo '  bench            what mapping costs, beside 6.12 and type1, into Documentation/'
	@echo '                   (15 min, then 7 min)'
	@echo '  bench-smp        how long small operations wait for long ones, and what two threads'
	@echo '                   get done beside each other (10 min, then 5 min)'
	@echo '  modules          iommufd.ko and VFIO modules that use it, for the newest 6.12 of'
	@echo '                   Debian, into build/modules (2 min, then 15 s)'
	@echo '  modules KVER=... the same for another 6.12 kernel of Debian'
	@echo '  tree KERNEL=DIR  install the subsystem into an unpacked Linux 6.12 (1 s)'
	@echo '  clean            remove build/; the cache in ~/.cache/iommufd stays'
	@echo '  clean-cache      remove that as well'
	@echo ''
	@echo 'What is missing on a Debian 12 system is installed as packages, which needs root.'

demo:
	@tools/demo.sh

check:
	@tools/check.sh $(PARTS)

check-clients:
	@tools/check.sh clients

coverage:
	@tools/coverage.sh

bench:
	@tools/bench.sh

bench-smp:
	@tools/bench-smp.sh

modules:
	@tools/modules.sh $(KVER)

tree:
	@tools/tree.sh '$(KERNEL)'

clean:
	rm -rf build

clean-cache: clean
	@tools/clean-cache.sh

.PHONY: help demo check check-clients coverage bench bench-smp modules tree clean clean-cache
