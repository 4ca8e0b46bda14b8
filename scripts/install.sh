#!/usr/bin/env bash
# Installs what Hawser lacks on a Debian 12 machine, and nothing else. Idempotent; takes a blink when nothing is missing.
#
#   scripts/install.sh npm       npm packages, the pinned Node among them (no root needed)
#   scripts/install.sh compiler  gcc, for the one program that is not TypeScript; done without where it cannot be had
#   scripts/install.sh system    Debian packages that a cluster needs (root)
#   scripts/install.sh test      those, and what the tests need besides (root)
#   scripts/install.sh peers     genuine programs that the tests run against, unpacked into .cache/peers, never installed
#   scripts/install.sh registry  of the peers, only docker-registry
#   scripts/install.sh vm        qemu, and into .cache/vm a kernel with cgroup v2 and AppArmor, for make test-cgroup-v2 (root)
#   scripts/install.sh systemd   that, and systemd with a D-Bus for it to start, for make test-systemd (root); here they start nothing
#   scripts/install.sh           npm, test and peers
set -euo pipefail
cd "$(dirname "$0")/.."

# Programs that `hawser up` and the demo call, then those that only tests call.
system_packages=(crun runc conmon containernetworking-plugins iptables iproute2 catatonit util-linux tar gzip xz-utils zstd socat procps)
compiler_packages=(gcc libc6-dev)
test_packages=(curl openssl tmux)
vm_packages=(qemu-system-x86 e2fsprogs)
vm_init_packages=(systemd dbus)
peer_packages=(containerd docker-registry etcd-server kubernetes-client)
# The file that shows a peer to be unpacked.
declare -A peer_program=(
  [containerd]=usr/bin/containerd [docker-registry]=usr/bin/docker-registry
  [etcd-server]=usr/bin/etcd [kubernetes-client]=usr/bin/kubectl
)

say() { printf 'install: %s\n' "$*" >&2; }
die() { printf 'install: %s\n' "$1" >&2; shift; for line in "$@"; do printf '         %s\n' "$line" >&2; done; exit 1; }

main() {
  mkdir -p .cache
  # Two makes at once (or a test that calls one) wait for each other here. In another user's checkout there is no lock.
  if command -v flock >/dev/null && touch .cache/install.lock 2>/dev/null; then exec 9>.cache/install.lock && flock 9; fi
  local wanted=("$@")
  [ ${#wanted[@]} -gt 0 ] || wanted=(test npm peers)
  for part in "${wanted[@]}"; do
    case $part in
      npm) install_npm ;;
      compiler) install_compiler ;;
      system) install_system "${system_packages[@]}" ;;
      test) install_system "${system_packages[@]}" "${test_packages[@]}" ;;
      peers) install_peers "${peer_packages[@]}" ;;
      registry) install_peers docker-registry ;;
      vm) install_vm ;;
      systemd) install_vm && install_system "${vm_init_packages[@]}" ;;
      *) die "unknown part \"$part\"; the parts are npm, compiler, system, test, peers, registry, vm and systemd" ;;
    esac
  done
}

# --- npm packages --------------------------------------------------------------------------------------------------

install_npm() {
  local lock stamp=node_modules/.hawser-lock log=.cache/npm-ci.log
  lock=$(sha256sum package-lock.json | cut -d' ' -f1)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$lock" ] && [ -x node_modules/.bin/node ]; then return; fi
  command -v node >/dev/null || die "node is not installed" "Any Node from 18 on will do: it only fetches the pinned Node 24."
  command -v npm >/dev/null || die "npm is not installed" "It comes with Node from nodejs.org; on Debian it is a package of its own: apt-get install npm"
  say "npm packages (npm ci) ..."
  # No package here needs its install script, so none is run.
  if ! npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    if grep -qE 'ENOTFOUND|ETIMEDOUT|ECONNREFUSED|EAI_AGAIN|ENETUNREACH|ECONNRESET' "$log"; then
      die "npm could not reach its registry ($(npm config get registry 2>/dev/null))" "Is there a network? A mirror is set with: npm config set registry URL"
    elif grep -q 'EUSAGE' "$log"; then
      die "package-lock.json does not match package.json" "After a change of dependencies run: npm install && node scripts/complete-lock.ts"
    fi
    die "npm ci failed; the whole log is $log"
  fi
  # npm before 11 does not link this package's program by itself.
  for node in node_modules/node-linux-*/bin/node; do
    if [ -x "$node" ] && [ ! -e node_modules/.bin/node ]; then ln -sfn "../${node#node_modules/}" node_modules/.bin/node; fi
  done
  [ -x node_modules/.bin/node ] ||
    die "there is no pinned Node for $(uname -s) $(uname -m)" "Hawser runs on Linux, x86-64 or arm64, with glibc."
  printf '%s\n' "$lock" >"$stamp"
}

# --- Debian packages -----------------------------------------------------------------------------------------------

missing_of() { # prints those of its arguments that are not installed
  local installed
  installed=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null | awk '$2 == "installed" { print $1 }') || true
  for package in "$@"; do grep -qxF "$package" <<<"$installed" || printf '%s\n' "$package"; done
}

require_apt() { # $1: what for
  command -v apt-get >/dev/null || die "$1 need Debian's apt-get, which this system does not have" "Hawser is made for Debian 12; install these by hand: ${system_packages[*]}"
}

refresh_lists() {
  say "package lists (apt-get update) ..."
  apt-get -o APT::Sandbox::User=root update >.cache/apt.log 2>&1 && ! grep -qE '^(Err|W: Failed to fetch|E:)' .cache/apt.log && return
  tail -n 5 .cache/apt.log >&2
  say "apt-get update had trouble (above); trying with the lists there are"
}

install_system() {
  local missing
  mapfile -t missing < <(missing_of "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  require_apt "the container programs"
  [ "$(id -u)" = 0 ] || die "these Debian packages are missing: ${missing[*]}" "Installing them needs root. Run this as root, or first: sudo apt-get install ${missing[*]}"
  say "Debian packages: ${missing[*]} ..."
  # Nothing that comes with a service may start it: a policy for the time of this run, none of our business afterwards.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then refresh_lists; fi
  if ! apt_install "${missing[@]}"; then
    refresh_lists
    apt_install "${missing[@]}" || { tail -n 8 .cache/apt.log >&2; die "apt-get could not install: ${missing[*]}" "$(apt_reason)"; }
  fi
  if [ -f "$policy" ] && [ "$(cat "$policy")" = $'#!/bin/sh\nexit 101' ]; then rm -f "$policy"; trap - EXIT; fi
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold \
    install -y -q --no-install-recommends "$@" >.cache/apt.log 2>&1
}

apt_reason() {
  if grep -qE 'Unable to locate package|has no installation candidate' .cache/apt.log; then
    echo "No package source has them. Hawser needs Debian 12's main archive in /etc/apt/sources.list."
  elif grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Failed to fetch' .cache/apt.log; then
    echo "The package archive could not be reached. Is there a network?"
  else
    echo "The whole log is .cache/apt.log"
  fi
}

# Without a compiler everything works, execs more slowly: so nobody who is not root is asked to become it.
install_compiler() {
  if command -v gcc >/dev/null && echo 'int main(void) { return 0; }' | gcc -static -x c -o /dev/null - 2>/dev/null; then return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "no C compiler (on Debian: gcc libc6-dev): hawser-exec is not built, execs will go through the OCI runtime"
    return
  fi
  install_system "${compiler_packages[@]}"
}

# --- peers for the tests -------------------------------------------------------------------------------------------

install_peers() {
  local missing=()
  for package in "$@"; do
    [ -x ".cache/peers/$package/${peer_program[$package]}" ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  require_apt "the programs that the tests run against"
  say "test peers, unpacked into .cache/peers: ${missing[*]} ..."
  mkdir -p .cache/peers/deb
  if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then refresh_lists; fi
  for package in "${missing[@]}"; do
    if ! apt_download "$package"; then
      refresh_lists
      apt_download "$package" || { tail -n 8 .cache/apt.log >&2; die "could not download the Debian package $package" "$(apt_reason)"; }
    fi
    # Unpacked beside, then moved: a peer is there whole or not at all.
    rm -rf ".cache/peers/$package" ".cache/peers/.$package"
    dpkg -x .cache/peers/deb/"$package"_*.deb ".cache/peers/.$package"
    mv ".cache/peers/.$package" ".cache/peers/$package"
  done
}

apt_download() { # $1: package; $2: where to
  (cd "${2:-.cache/peers/deb}" && rm -f "$1"_*.deb && apt-get -o APT::Sandbox::User=root download -q "$1") >.cache/apt.log 2>&1
}

# --- a virtual machine for the tests ---------------------------------------------------------------------------------

# Of the kernel only what a container host may need is kept: a tenth of it. Nothing of it is installed on this machine.
install_vm() {
  [ "$(uname -m)" = x86_64 ] || die "the virtual machine is for x86-64; this is $(uname -m)"
  require_apt "the virtual machine's programs"
  install_system "${vm_packages[@]}"
  if [ -e .cache/vm/complete ]; then return; fi
  local kernel fresh=.cache/vm.new
  if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then refresh_lists; fi
  rm -rf .cache/vm "$fresh"
  mkdir -p "$fresh/deb"
  say "a kernel for the virtual machine, unpacked into .cache/vm ..."
  for again in no yes; do
    kernel=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" && /linux-image-6/ { print $2; exit }')
    local failed=
    for package in "$kernel" busybox-static apparmor; do apt_download "$package" "$fresh/deb" || failed=$package; done
    if [ -z "$failed" ]; then break; fi
    if [ $again = yes ]; then tail -n 8 .cache/apt.log >&2; die "could not download the Debian package $failed" "$(apt_reason)"; fi
    refresh_lists
  done
  local modules="./lib/modules/${kernel#linux-image-}/kernel"
  dpkg --fsys-tarfile "$fresh"/deb/"$kernel"_*.deb | tar -x -C "$fresh" --wildcards --no-wildcards-match-slash \
    './boot/vmlinuz-*' "$modules"/{fs,net,lib,crypto,arch,drivers/virtio,drivers/char/hw_random} "$modules/drivers/"{block,net}"/*.ko" './lib/modules/*/modules.*'
  for package in busybox-static apparmor; do dpkg -x "$fresh"/deb/"$package"_*.deb "$fresh/$package"; done
  mv "$fresh"/boot/vmlinuz-* "$fresh/vmlinuz"
  "$fresh/busybox-static/bin/busybox" depmod -b "$PWD/$fresh" "${kernel#linux-image-}"
  rm -rf "$fresh/deb" "$fresh/boot"
  printf '%s\n' "${kernel#linux-image-}" >"$fresh/complete"
  mv "$fresh" .cache/vm
}

main "$@"
