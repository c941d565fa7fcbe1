// SPDX-License-Identifier: Apache-2.0
// Owns the shell text that mounts a written image in namespaces of its own and runs one script of ours in it.
// A constant: what differs comes as arguments. Does not start anything.

/**
 * What a program of the image may do as root: what a file of any owner may need. Not among them are making device
 * nodes, mounting, leaving the chroot (open_by_handle_at(2) and chroot(2) lead out of it), tracing, the network.
 */
const KEPT_CAPABILITIES = ['chown', 'dac_override', 'fowner', 'fsetid', 'setgid', 'setuid']

/** capabilities(7); capsh of Debian 12 knows all of them, and the kernel of the ramdisk too. */
const CAPABILITIES = [
  'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable',
  'net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot',
  'sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease',
  'audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read',
  'perfmon bpf checkpoint_restore',
].flatMap((line) => line.split(' '))

const DROPPED = CAPABILITIES.filter((name) => !KEPT_CAPABILITIES.includes(name))
  .map((name) => `cap_${name}`)
  .join(',')

/** Address space of each program of the image, KiB: no kernel stands by the agent when memory is gone. */
const MEMORY_KIB = 2 * 1024 * 1024

/** How the set-up ends when it has not come to the image's programs, and when these could not be got rid of. */
export const EXIT_NOT_SET_UP = 120
export const EXIT_NOT_UNMOUNTED = 121

/**
 * Run by the shell of the ramdisk as the first process of a PID namespace: with its end everything ends. Arguments:
 * mount point, name of the root's node, name of the ESP's node or nothing, where that is mounted, the nodes
 * (`b name major minor` or `l link name`, one argument each), `--`, what `env` gets, `--`, a script, its arguments.
 * mount and umount by their paths: BusyBox's shell takes its own before others, which load no modules and know no -R.
 * The names of /dev come from sysfs and from UUIDs that the caller has looked at.
 */
export const SET_UP_SCRIPT = `
set -euf
exec 2>&1
fail() { echo "$1"; exit ${EXIT_NOT_SET_UP}; }
# whatever fails from here on until the image's shell is started is no failure of the image's
trap 'exit ${EXIT_NOT_SET_UP}' EXIT
at=$1 root=$2 esp=$3 esp_at=$4
shift 4
# of all processes these are to go first when memory is short
echo 1000 > /proc/self/oom_score_adj
ulimit -c 0
ulimit -v ${MEMORY_KIB}
command -v capsh > /dev/null || fail "capsh: command not found; install it in the ramdisk"

# the image's own nodes are none (nodev), so no other disk can be reached by one
/bin/mount -o rw,nodev,nosuid "/dev/$root" "$at" || fail "the root file system on /dev/$root cannot be mounted"
# a link there would lead the mounts below out of the image
for name in dev proc sys run \${esp:+boot} \${esp:+boot/efi}; do
  [ ! -L "$at/$name" ] || fail "/$name of the image is a symbolic link"
  mkdir -p "$at/$name" || fail "/$name of the image is no folder"
done
/bin/mount -t tmpfs -o size=1m,mode=755,nosuid,noexec dev "$at/dev"
/bin/mount -t tmpfs -o size=16m,mode=755,nosuid,nodev run "$at/run"
mkdir "$at/run/lock"
/bin/mount -t proc -o ro,nosuid,nodev,noexec proc "$at/proc"
/bin/mount -t sysfs -o ro,nosuid,nodev,noexec sys "$at/sys"

node() {
  # two file systems of one UUID are a tenant's business: the last one has the link, as with udev
  [ "$1" = b ] || { mkdir -p "$at/dev/\${2%/*}" && ln -sfn "/dev/$3" "$at/dev/$2"; return; }
  case $2 in */*) mkdir -p "$at/dev/\${2%/*}" ;; esac
  mknod -m 600 "$at/dev/$2" b "$3" "$4"
}
while [ "$1" != -- ]; do
  # shellcheck disable=SC2086
  node $1
  shift
done
shift
mknod -m 666 "$at/dev/null" c 1 3
mknod -m 666 "$at/dev/zero" c 1 5
mknod -m 666 "$at/dev/full" c 1 7
mknod -m 666 "$at/dev/random" c 1 8
mknod -m 666 "$at/dev/urandom" c 1 9
ln -s /proc/self/fd "$at/dev/fd"
ln -s /proc/self/fd/0 "$at/dev/stdin"
ln -s /proc/self/fd/1 "$at/dev/stdout"
ln -s /proc/self/fd/2 "$at/dev/stderr"
/bin/mount -o remount,ro,size=1m,mode=755,nosuid,noexec "$at/dev"
# it may name what is of no business to an image
/bin/mount --bind "$at/dev/null" "$at/proc/cmdline"
if [ -n "$esp" ]; then
  mkdir -p "$at/$esp_at"
  /bin/mount -o rw,nodev,nosuid,noexec "/dev/$esp" "$at/$esp_at" || fail "the ESP on /dev/$esp cannot be mounted"
fi

words=0
for word; do
  [ "$word" != -- ] || break
  words=$((words + 1))
done
code=0
in_image() {
  variables=''
  while [ "$words" -gt 0 ]; do
    variables="$variables $1"
    words=$((words - 1))
    shift
  done
  shift
  # shellcheck disable=SC2086
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root TERM=dumb $variables \\
    capsh --chroot="$at" --drop=${DROPPED} --no-new-privs --shell=/bin/sh -- -c "$@"
}
trap - EXIT
in_image "$@" < /dev/null || code=$?

# whatever it has left running
kill -KILL -1 2> /dev/null || :
for attempt in 1 2 3 4 5; do
  if /bin/umount -R "$at" 2> /dev/null; then exit "$code"; fi
  sleep 1
done
echo "the file systems of the image cannot be unmounted"
exit ${EXIT_NOT_UNMOUNTED}
`
