#!/bin/bash
# make image: dist/kerf-VERSION-amd64.tar, a container image, without a container engine.
#
# One layer: kerf, chroot (for migConfig.withReboot alone), glibc and the other libraries that these
# are linked with, as Debian built them, and their copyright notices.  No shell, no certificates (the
# API server's comes with the service account), no package manager.  The tar is an OCI layout and, by
# its manifest.json, also what `docker load` reads.
#
# Reproducible: the same build/kerf and libraries give the same bytes.  All times are
# SOURCE_DATE_EPOCH, by default that of the last commit.  Prints the contents, sizes and the digest.
#
#   KERF_BUILD   where kerf is built           [build]
#   OUT          the file to write             [dist/kerf-VERSION-amd64.tar]
set -euo pipefail
# shellcheck source=tools/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib.sh"

kerf=${KERF_BUILD:-$tree/build}/kerf
[ -x "$kerf" ] || { echo "image: $kerf is not built; run make"; exit 1; }
[ "$(uname -m)" = x86_64 ] || { echo "image: only amd64 is known, not $(uname -m)"; exit 1; }
chroot=/usr/sbin/chroot # Debian's coreutils
version=$("$kerf" --version | sed -n '1s/^kerf \([^ ]*\).*/\1/p')
[ -n "$version" ] || { echo "image: kerf does not tell its version"; exit 1; }
out=${OUT:-dist/kerf-$version-amd64.tar}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

libraries() { # of these programs, by the paths that the dynamic linker uses
	ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' | sort -u
}

# Debian 12's /lib and /lib64 are links into /usr, and dpkg knows a file by one of its names.
names() { # names FILE
	printf '%s\n' "$1" "$(realpath "$1")" "/usr$1" "${1#/usr}"
}

owners() { # owners FILE...: their packages; asked at once, since dpkg reads all its lists each time
	local path candidates found
	found=$(for path; do names "$path"; done | sort -u | xargs dpkg -S 2>/dev/null |
		sed -E 's|^([^:,]+)[^/]*: /|\1 /|') || true
	for path; do
		candidates=$(names "$path")
		awk 'NR == FNR { ours[$0]; next } $2 in ours { print $1; n++; exit } END { exit !n }' \
			<(echo "$candidates") <(echo "$found") || { echo "image: no Debian package holds $path" >&2; exit 1; }
	done | sort -u
}

fill() { # fill LIBRARY...
	local path
	mkdir -p "$root"/{dev,etc,host,proc,sys,tmp} "$root"/usr/{bin,lib64,lib/x86_64-linux-gnu} "$root"/usr/share/doc \
		"$root"/var/{lib/kerf,lib/kubelet/device-plugins,lib/kubelet/pod-resources,run/cdi}
	ln -s usr/bin "$root/bin"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	install -m 755 "$kerf" "$root/usr/bin/kerf"
	strip --strip-debug "$root/usr/bin/kerf"
	install -m 755 "$chroot" "$root/usr/bin/chroot"
	install -D -m 644 LICENSE "$root/usr/share/doc/kerf/LICENSE"
	for path; do
		case $path in
		*/ld-linux-*) install -m 755 "$path" "$root/usr/lib64/${path##*/}" ;;
		*) install -m 644 "$path" "$root/usr/lib/x86_64-linux-gnu/${path##*/}" ;;
		esac
	done
}

notices() { # notices FILE...: of the packages that these came from, names, versions and copyright
	local package
	owners "$@" >"$root/owners"
	xargs dpkg-query -W -f "\${Package} \${Version}\n" <"$root/owners" | sort >"$root/usr/share/doc/kerf/packages"
	while read -r package; do
		install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
	done <"$root/owners"
	rm "$root/owners"
}

# libdl, libpthread and librt are empty in glibc 2.36, but the driver's library is linked with them.
mapfile -t found < <(libraries "$kerf" "$chroot"; printf '%s\n' /lib/x86_64-linux-gnu/lib{dl,pthread,rt}.so.*)
fill "${found[@]}"
notices "${found[@]}" "$chroot"
mkdir -p "$(dirname "$out")"
"$python" deploy/images/pack.py "$root" "$out" "kerf:$version"
