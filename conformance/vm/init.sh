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
for variable in $(cat /proc/cmdline); do
  case $variable in hawser.init=systemd) systemd=yes ;; esac
done
# This is no container, whatever the host is: else systemd would not read the kernel's command line.
rm -f /root/.dockerenv
umount /proc /sys /dev
if [ "$systemd" = yes ]; then
  # systemd with a bus and the tests, and nothing else that the host's root would have it start.
  units=/root/etc/systemd/system
  mkdir -p "$units"
  cat >"$units/dbus.socket" <<-EOF
	[Unit]
	DefaultDependencies=no
	[Socket]
	ListenStream=/run/dbus/system_bus_socket
	EOF
  cat >"$units/dbus.service" <<-EOF
	[Unit]
	DefaultDependencies=no
	Requires=dbus.socket
	After=dbus.socket
	[Service]
	Type=notify
	NotifyAccess=main
	ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
	StandardOutput=null
	EOF
  cat >"$units/hawser-tests.service" <<-EOF
	[Unit]
	DefaultDependencies=no
	Requires=dbus.service
	After=dbus.service
	[Service]
	ExecStart=/bin/bash $checkout/conformance/vm/inside.sh $checkout
	Delegate=yes
	LimitNOFILE=65536
	TasksMax=infinity
	StandardOutput=file:/dev/ttyS0
	StandardError=inherit
	EOF
  exec switch_root /root /usr/lib/systemd/systemd --unit=hawser-tests.service
fi
exec switch_root /root /bin/bash "$checkout/conformance/vm/inside.sh" "$checkout"
