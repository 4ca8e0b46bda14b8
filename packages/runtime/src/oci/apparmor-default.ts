/** Under this name it is in /proc/PID/attr/current, as `hawser-default (enforce)`. */
export const defaultAppArmorName = "hawser-default";

/**
 * The profile of containers for which nothing else is said. Everything that a container's capabilities, namespaces and mounts
 * leave open is allowed, but for the parts of /proc and /sys that are the node's own, and mounting. It needs no file of
 * /etc/apparmor.d, so that a parser is all a node must have.
 *
 * Source: the rules of containerd/containerd contrib/apparmor/template.go; apparmor.d(5)
 */
export const defaultAppArmor = `
profile ${defaultAppArmorName} flags=(attach_disconnected,mediate_deleted) {
  capability,
  network,
  file,
  umount,
  deny mount,

  # The runtime's signals to containers, and containers' to their own.
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send,receive) peer=${defaultAppArmorName},
  ptrace (trace,read,tracedby,readby) peer=${defaultAppArmorName},

  # Of /proc: all that is no process' own, but for sys/kernel/shm*.
  deny /proc/* w,
  deny /proc/{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}/** w,
  deny /proc/sys/[^k]** w,
  deny /proc/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny /proc/{sysrq-trigger,kcore} rwklx,

  # Of /sys: all but fs/cgroup.
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,
}
`;
