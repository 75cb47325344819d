#!/bin/sh
# A program of the browser's tree (`crates/tools/src/browser.rs`) with that tree as its root folder: Chromium, unless BROWSER_PROGRAM names
# another one. It starts itself again and again, so that the tree's loader cannot run it as it runs other programs. The mounts are in a
# namespace of their own and end with it. Without BROWSER_TREE it is this machine's own. Descriptors stay open, and /tmp is this machine's.
set -e
: "${BROWSER_PROGRAM:=/usr/lib/chromium/chromium}"
export BROWSER_PROGRAM
[ -n "$BROWSER_TREE" ] || exec "$BROWSER_PROGRAM" "$@"
exec unshare --mount --propagation private -- sh -e -c '
    mount --bind "$BROWSER_TREE" "$BROWSER_TREE"
    mount --rbind /dev "$BROWSER_TREE/dev"
    mount --rbind /proc "$BROWSER_TREE/proc"
    mount --bind /tmp "$BROWSER_TREE/tmp"
    exec chroot "$BROWSER_TREE" "$BROWSER_PROGRAM" "$@"
' sh "$@"
