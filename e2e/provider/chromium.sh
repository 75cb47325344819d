#!/bin/sh
# Chromium with the browser's tree (crates/tools/src/browser.rs) as its root folder: it starts itself again and again, so that it cannot be
# run by the tree's loader as other programs are. Its mounts are in a namespace of their own and end with it. Without BROWSER_TREE it is
# this machine's own. What is said to it over further descriptors stays open.
set -e
[ -n "$BROWSER_TREE" ] || exec /usr/lib/chromium/chromium "$@"
exec unshare --mount --propagation private -- sh -e -c '
    mount --bind "$BROWSER_TREE" "$BROWSER_TREE"
    mount --rbind /dev "$BROWSER_TREE/dev"
    mount --rbind /proc "$BROWSER_TREE/proc"
    mount --bind /tmp "$BROWSER_TREE/tmp"
    exec chroot "$BROWSER_TREE" /usr/lib/chromium/chromium "$@"
' chromium "$@"
