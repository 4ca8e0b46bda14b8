#!/bin/busybox sh
# The first program in the virtual machine: the host's root, read-only, below a copy of the
# checkout's sources, which do not change while the tests run, and below a tmpfs for what is written, becomes ours.
busybox=/bin/busybox
$busybox mkdir -p /proc /sys /dev /host /sources /over /root
$busybox --install -s /bin
PATH=/bin
die() { echo "hawser-vm: $*"; echo "hawser-vm: exit 1"; echo o >/proc/sysrq-trigger; sleep 60; }
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev || die "no /proc, /sys, /dev"
modprobe -a virtio_pci virtio-rng 9pnet_virtio 9p overlay
options=ro,trans=virtio,version=9p2000.L,cache=loose,msize=524288,access=any
mount -t 9p -o $options host /host && mount -t 9p -o $options sources /sources || die "no host"
mount -t tmpfs -o mode=755 over /over && mkdir /over/upper /over/work
mount -t overlay -o lowerdir=/sources:/host,upperdir=/over/upper,workdir=/over/work overlay /root || die "no overlay"
for variable in $(cat /proc/cmdline); do
  case $variable in hawser.checkout=*) checkout=${variable#*=} ;; esac
done
# The kernel's own loader of modules, for what iptables and the CNI plugins need; the host may have none.
cp $busybox /root/usr/sbin/modprobe
mkdir -p /root/lib/modules
for release in /root"$checkout"/.cache/vm/lib/modules/*; do ln -sfn "${release#/root}" /root/lib/modules/; done
umount /proc /sys /dev
exec switch_root /root /bin/bash "$checkout/conformance/vm/inside.sh" "$checkout"
