# Chores; the build itself is described by meson.build.
#
#   make             build/kerf and the simulator's build/sim/libnvidia-ml.so.1
#   make demo        one simulated node, from a label to 56 pods and on to another label
#   make test        gcc and clang without a warning, unit and whole-program tests, sanitizers
#   make e2e         the same as the demo and more, on a real Kubernetes (root; builds it once)
#   make browser     the page in Chromium: follows a label, by keyboard, read by axe-core (installs Chromium)
#   make bench       speed and size: a table, and build/bench.json
#   make fuzz        each parser of foreign bytes for FUZZ_SECONDS [20]
#   make exhaustive  what takes too long for `make test`
#   make peers       NVIDIA's and others' programs, unmodified, on the simulator (fetches and builds them)
#   make lint        clang-format, clang-tidy, shellcheck
#   make bundle      dist/kerf-VERSION-x86_64.tar.gz, which runs where nothing is installed
#   make image       dist/kerf-VERSION-amd64.tar, a container image, without a container engine
#   make chart       dist/kerf-VERSION.tgz, the Helm chart, checked; builds Helm once
#   make install     into DESTDIR and PREFIX [/usr/local]
#   make clean       removes build*/ and dist/, not the caches below ~/.cache/kerf
#
# Each installs the Debian packages that it lacks (tools/packages.txt) when run as root, and can be
# run again.  Meson and Python are Debian's own, whatever else PATH offers.

MESON := /usr/bin/meson
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 20
export FUZZ_SECONDS

.PHONY: all demo test e2e browser bench fuzz exhaustive peers lint bundle image chart install clean need-build
.NOTPARALLEL:

all: build/build.ninja
	@ninja -C build kerf sim/libnvidia-ml.so.1 pages

need-build:
	@tools/need build

build/build.ninja: | need-build
	$(MESON) setup build -Dwerror=true --prefix $(PREFIX)

demo: all
	@build/kerf demo

test:
	@tools/need build test
	@tools/test

e2e:
	@tools/need build e2e
	@tests/e2e/run

browser: all
	@tools/need browser
	@tools/browser

bench:
	@tools/need build test
	@tools/bench

fuzz:
	@tools/need build fuzz
	@tools/fuzz

exhaustive: build/build.ninja
	@tools/need test
	@$(MESON) test -C build --suite exhaustive --print-errorlogs --timeout-multiplier 0

peers: all
	@tools/need build test
	@tools/peers
	@/usr/bin/python3 -m pytest -q -rs -p no:cacheprovider tests/peers

lint:
	@tools/need build lint
	@tools/lint

bundle: all
	@tools/need bundle
	@tools/bundle

image: all
	@deploy/images/build.sh

chart: all
	@tools/need build test go
	@"$$(tools/helm)" package deploy/chart -d dist
	@/usr/bin/python3 -m pytest tests/chart -q -p no:cacheprovider

install: all
	@$(MESON) configure build -Dprefix=$(abspath $(PREFIX))
	@DESTDIR=$(DESTDIR) $(MESON) install -C build

clean:
	rm -rf build build-asan build-clang build-fuzz dist
