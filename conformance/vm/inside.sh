#!/bin/bash
# The virtual machine as a host of containers: cgroup v2 alone (or as systemd was told), AppArmor, a loopback interface. As its first process, or a service of systemd's. Then the tests, and their exit code.
# What to run comes from the kernel's command line: hawser.tests, files with commas between them, hawser.reporter,
# hawser.names and hawser.slowness.
checkout=$1
export HOME=/root LANG=C.UTF-8 NO_COLOR=1
export PATH=$checkout/node_modules/.bin:$checkout/.cache/vm/apparmor/sbin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

if [ $$ = 1 ]; then
  mount -t proc -o nosuid,nodev,noexec proc /proc
  mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
  mount -t devtmpfs -o nosuid devtmpfs /dev
  mkdir -p /dev/pts /dev/shm
  mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts /dev/pts
  for place in /dev/shm /run; do mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs $place; done
fi
modprobe -a virtio_blk ext4
mount -t ext4 -o nosuid,nodev /dev/vda /tmp
rmdir /tmp/lost+found
chmod 1777 /tmp /dev/shm
if [ $$ = 1 ]; then
  mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
  mount -t bpf bpf /sys/fs/bpf
  mount -t securityfs securityfs /sys/kernel/security
fi
ln -sfn /proc/self/fd /dev/fd
mount --make-rshared /
ip link set lo up
hostname vm
modprobe -a fuse tun || echo "hawser-vm: no modules"
echo 1 >/proc/sys/net/ipv4/ip_forward
ulimit -n 65536

if [ $$ = 1 ]; then
  # As on a systemd host: processes are in leaves, never in the root or in what has controllers.
  mkdir -p /sys/fs/cgroup/system.slice/tests.service
  echo $$ >/sys/fs/cgroup/system.slice/tests.service/cgroup.procs
  controllers=$(sed 's/^/+/; s/ / +/g' /sys/fs/cgroup/cgroup.controllers)
  echo "$controllers" >/sys/fs/cgroup/cgroup.subtree_control
fi

argument() { tr ' ' '\n' </proc/cmdline | sed -n "s/^hawser\\.$1=//p"; }
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  layout="cgroup v2 with $(cat /sys/fs/cgroup/cgroup.controllers)"
else
  layout="cgroup v1 with $(cd /sys/fs/cgroup && echo *)"
fi
echo "hawser-vm: up after $(cut -d' ' -f1 /proc/uptime) s: Linux $(uname -r), $layout, AppArmor $(cat /sys/module/apparmor/parameters/enabled), init $(cat /proc/1/comm)"

export HAWSER_SLOWNESS=$(argument slowness)
export NODE_OPTIONS="--import=$checkout/conformance/vm/slow-clock.ts"
export NODE_COMPILE_CACHE=$checkout/.cache/vm/compile-cache # what the host has filled; what is added stays in here
cd "$checkout" || exit 1
# Not systemd's own, which it makes in more of v1's hierarchies when others have theirs there.
cgroups() { find /sys/fs/cgroup -mindepth 1 -type d ! -path '*/system.slice*' ! -name init.scope ! -name user.slice; }
mounts() { grep -o ' /tmp/[^ ]*\| /run/[^ ]*' /proc/self/mountinfo; }
before=$(cgroups; mounts)
IFS=, read -ra files <<<"$(argument tests)"
node --test --test-concurrency=1 "--test-reporter=$(argument reporter)" --test-timeout=$((300000 * HAWSER_SLOWNESS)) \
  "--test-name-pattern=$(argument names)" "${files[@]}"
code=$?

# Nothing of theirs may be left: cgroups, units, network namespaces, interfaces, mounts, processes.
left=$(
  (cgroups; mounts) | grep -vxF "$before"
  if [ $$ != 1 ]; then systemctl list-units --all --plain --no-legend 'hawser[_-]*' 'kubepods*' 'test*' | grep -v '^hawser-tests.service '; fi
  ls -d /run/netns/* /run/hawser/* 2>/dev/null
  ls /sys/class/net | grep -vx lo
  ps -eo comm,args | grep -E '^(conmon|crun|runc|catatonit|pause|hawser-[a-z]+|docker-registry) '
)
if [ -n "$left" ]; then
  echo "hawser-vm: left behind by the tests:"
  echo "$left"
  code=1
fi
echo "hawser-vm: exit $code after $(cut -d' ' -f1 /proc/uptime) s"
echo o >/proc/sysrq-trigger
while :; do :; done
