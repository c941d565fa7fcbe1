# SPDX-License-Identifier: Apache-2.0
# Every target does its own set-up: a Debian machine with Node >= 20, npm, git and make is enough.
# Node itself is pinned: npm installs the one that runs everything (node_modules/.bin/node).

# Debian keeps disk tools where only root looks
export PATH := $(CURDIR)/node_modules/.bin:$(PATH):/usr/sbin:/sbin
# demo: how many agents, which image, whether they share it, the origin's bytes per second
export NODES IMAGE SWARM ORIGIN_RATE
# vm, test-vm: how machines boot, how much memory they have, MiB, and whether KVM runs them
export BOOT FIRMWARE MEMORY ACCEL
# bench-swarm: how many nodes, which programs, another scale, other worlds
export N PEERS RATE IMAGE_MIB PIECE_KIB ORIGIN_X LEAVE RACKS UPLINK ROUNDS LABEL TIMELINE GRAIN SEED JOIN TRAILING PROFILE KEEP FROM ZSTD
# fuzz-images: one format alone, how many damaged images (besides SEED and FROM)
export FORMAT COUNT
# house: 1 counts the tests as they run
export TESTS

MODULES := node_modules/.package-lock.json
BIOME := node_modules/@biomejs/cli-linux-x64/biome
PACKAGES := node test/support/packages.ts install
# a network of our own, which ends with the program; a normal user needs a user namespace for it
OWN_NETWORK = unshare $(if $(filter 0,$(shell id -u)),,--map-root-user) --net
# vm: the image of its machines; small where a real Ironic hands it out
VM_IMAGE = $(if $(IRONIC),node image-build/instance-image.ts small,$(if $(IMAGE),true,node image-build/instance-image.ts))

.DEFAULT_GOAL := help
.PHONY: help setup check house test fuzz-images kill-deploys test-ironic record-machines demo instance-image ramdisk iso deb npm-files npm-package vm test-vm bench bench-formats docs clean
.DELETE_ON_ERROR:

help: ## this list
	@echo 'usage: make TARGET'
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | \
	  while IFS='	' read -r target text; do printf '  %-16s %s\n' "$$target" "$$text"; done

# npm writes this file last; it is as new as the installation. No package needs its install script, and
# none shall run as whoever runs make, who is root where disks are written (.npmrc and package.json say it to plain npm)
$(MODULES): package.json package-lock.json
	@echo 'npm: installing the packages of package-lock.json into node_modules'
	@npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

setup: $(MODULES) ## npm packages, and as root the Debian packages that tests and demo use
	@$(PACKAGES) agent interop instance-image

check: $(MODULES) ## types and lint
	@tsc --noEmit
	@$(BIOME) check .

house: $(MODULES) ## files, circles, arrows against the layers, folder by folder; fails if a rule is broken [TESTS=1]
	@node test/support/house/report.ts

test: $(MODULES) ## all tests; those that need root or Debian packages say so where they are skipped
	@$(PACKAGES) agent bench boot-loaders browser burn-in clock disk-signatures image-formats interop ironic lldp mdns metrics network-faults packaging pages registry
	@vitest run

fuzz-images: $(MODULES) ## a million damaged images of each format, for a night [FORMAT=qcow2] [COUNT=1000000] [SEED=1] [FROM=0]
	@node test/fuzz/images/main.ts

kill-deploys: $(MODULES) ## agents killed at random moments, of whole disks, partition images, boot loaders (root) [KILLS=40, of each]
	@$(PACKAGES) agent boot-loaders image-formats
	@KILLS=$(or $(KILLS),40) vitest run --project sources test/integration/negative/killed-anywhere.test.ts test/integration/negative/killed-partition.test.ts

test-ironic: $(MODULES) ## a real, unmodified Ironic drives agents on loop devices (root) [IRONIC=29|35|newest|all]
ifeq ($(IRONIC),all)
	@failed=; for name in '' 29 35 newest; do \
	  $(MAKE) --no-print-directory test-ironic IRONIC=$$name || failed="$$failed $${name:-installed}"; \
	done; [ -z "$$failed" ] || { echo "test-ironic failed with:$$failed"; exit 1; }
else
	@$(PACKAGES) agent burn-in $(if $(IRONIC),ironic-release,ironic ironic-inspector)
	@$(if $(IRONIC),node test/support/ironic/release-tree.ts $(IRONIC))
	@$(if $(IRONIC),IRONIC_TREE=$(CURDIR)/build/ironic/$(IRONIC)) vitest run test/integration/ironic
endif

record-machines: $(MODULES) ## ask the real ironic-python-agent of Debian sid about test/support/machines, anew (root, 1 GB) [MACHINE=bonded]
	@$(PACKAGES) agent ironic-release
	@node test/support/ironic/release-tree.ts sid agent
	@node test/support/machines/record.ts build/ironic/sid-agent $(MACHINE)

demo: $(MODULES) ## deploy 6 nodes on this machine at once [NODES=6] [SWARM=off] [IMAGE=file.raw] [ORIGIN_RATE=25M]
	@$(PACKAGES) agent $(if $(IMAGE),,instance-image)
	@$(if $(IMAGE),,node image-build/instance-image.ts)
	@node test/e2e/demo/main.ts

instance-image: $(MODULES) ## build/instance-image.raw: a bootable disk made from Debian packages
	@$(PACKAGES) instance-image
	@node image-build/instance-image.ts

ramdisk: $(MODULES) ## build/ironswarm.kernel and .initramfs [RAMDISK=vm] [SSH_KEY=key] [QEMU=1] [BURN_IN=1] [PODMAN=1] [MSTFLINT=1] [HARDWARE_MANAGERS=folder] [NAME=…] [FAST=1]
	@$(PACKAGES) ramdisk
	@node image-build/ramdisk/build.ts

iso: $(MODULES) ## build/ironswarm.iso and ironswarm-esp.img: virtual media [RAMDISK=vm] [KERNEL_PARAMS='…']
	@$(PACKAGES) ramdisk
	@node image-build/ramdisk/build.ts
	@node image-build/ramdisk/boot-media.ts

deb: $(MODULES) ## build/ironswarm_VERSION_amd64.deb: command, units, manual pages, completions, its own Node
	@$(PACKAGES) packaging
	@node image-build/package/build.ts deb

# npm calls npm-files (package.json, prepack)
npm-package: ## build/ironswarm-VERSION.tgz: the same for npm install -g, without dependencies
	@mkdir -p build
	@npm pack --silent --pack-destination build

npm-files: $(MODULES)
	@$(PACKAGES) npm-files
	@node image-build/package/build.ts npm

vm: $(MODULES) ## deploy QEMU machines, boot their disks [IRONIC=1: by a real one] [NODES=1] [BOOT=pxe|iso|direct] [FIRMWARE=uefi] [ACCEL=tcg]
	@node test/e2e/vm/settings.ts
	@$(PACKAGES) agent instance-image $(if $(IRONIC),ironic) ramdisk vm
	@echo 'vm: building the image, if it is another one, and the ramdisk'
	@$(VM_IMAGE) & image=$$!; RAMDISK=vm FAST=1 node image-build/ramdisk/build.ts; built=$$?; wait $$image && exit $$built
	@$(if $(filter iso ISO,$(BOOT)),RAMDISK=vm node image-build/ramdisk/boot-media.ts)
	@$(OWN_NETWORK) node test/e2e/vm/$(if $(IRONIC),by-ironic,main).ts

test-vm: $(MODULES) ## a real, unmodified Ironic deploys QEMU machines over PXE (root) [SMOKE=1: the shortest way through]
	@node test/e2e/vm/settings.ts
	@$(PACKAGES) agent instance-image ironic ramdisk registry vm
	@node image-build/instance-image.ts small
	@RAMDISK=vm FAST=1 node image-build/ramdisk/build.ts
	@$(if $(SMOKE),,FAST=1 node image-build/ramdisk/build.ts)
	@$(if $(SMOKE),,RAMDISK=vm node image-build/ramdisk/boot-media.ts)
	@$(if $(SMOKE),,node test/support/vm/array-maker.ts)
	@$(if $(SMOKE),,node test/support/vm/partition-image.ts)
	@$(if $(SMOKE),,node test/support/vm/raid-image.ts)
	@$(if $(SMOKE),,RAMDISK=vm FAST=1 PODMAN=1 NAME=ironswarm-containers node image-build/ramdisk/build.ts)
	@$(if $(SMOKE),,RAMDISK=vm FAST=1 MSTFLINT=1 NAME=ironswarm-managers HARDWARE_MANAGERS=test/support/vm/hardware-managers node image-build/ramdisk/build.ts)
	@$(OWN_NETWORK) vitest run --config test/e2e/vm/vitest.config.ts $(if $(SMOKE),smoke)

bench: $(MODULES) ## write a 2 GiB image by HTTP, against curl | dd
	@$(PACKAGES) agent bench
	@node test/bench/write-bench.ts

bench-formats: $(MODULES) ## write packed images by HTTP, against what people do by hand [FORMATS=zstd,qcow2] [BENCH_MIB=4096] [BENCH_MINUTES=13] (root)
	@$(PACKAGES) agent bench image-formats
	@node test/bench/formats-bench.ts

bench-swarm: $(MODULES) ## N nodes behind shaped links against their bound [N=1,2,4,8] [PEERS=ironswarm,http,…] (root)
	@$(PACKAGES) agent bench
	@node test/bench/swarm/main.ts

bench-engine: $(MODULES) ## one leecher from one seed over loopback, against libtorrent and aria2c [FROM=origin] (root)
	@$(PACKAGES) agent bench
	@node test/bench/engine-bench.ts

simulate: $(MODULES) ## the swarm engine in virtual time, up to 1000 nodes [NODES=90] [RACKS=4] [RATE=1000] [IMAGE_MIB=…] [ZSTD=1]
	@node test/bench/simulate/main.ts

docs: $(MODULES) ## write the generated pages of docs/ anew
	@node test/support/write-docs.ts

clean: ## remove build/ (node_modules stays)
	rm -rf build
