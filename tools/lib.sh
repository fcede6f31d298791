# shellcheck shell=bash disable=SC2034
# What the scripts beside this file share; sourced, with `set -euo pipefail` and from any folder.

meson=/usr/bin/meson
python=/usr/bin/python3
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kerf
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$tree" || exit

say() { # say SENTENCE: a progress line with the seconds since the script began
	printf '[%4d s] %s\n' "$SECONDS" "$*"
}

configure() { # configure DIR MESON-OPTION...: set up a build folder unless it is there
	local dir=$1
	shift
	[ -f "$dir/build.ninja" ] || "$meson" setup "$dir" "$@"
}
