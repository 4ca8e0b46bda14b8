/**
 * What a command can see of itself, in sections: run by `sh -c`, so that $$ is the process that was executed. It waits for a
 * terminal's size, which crun's exec sets beside the command's start.
 */
export const probeScript = `
section() { echo "==$1"; }
self=/proc/$$
section status; cat $self/status
section stat; cat $self/stat
section cgroup; cat $self/cgroup
section links; stat -c '%N' $self/ns/* $self/cwd $self/root $self/exe
section fds; ls -ln --time-style=+ $self/fd
section fdstat; stat -L -c '%n %F %u %g %a' $self/fd/0 $self/fd/1 $self/fd/2
section fdflags; grep flags $self/fdinfo/0 $self/fdinfo/1 $self/fdinfo/2
section limits; cat $self/limits
section environ; tr '\\0' '\\n' <$self/environ
section mountinfo; cat $self/mountinfo
section oom; cat $self/oom_score_adj
section files; cd $self; grep -H '' personality timerslack_ns coredump_filter loginuid sessionid setgroups uid_map gid_map comm attr/current 2>&1; cd /
section dumpable; stat -c '%u %g %a' $self/fd
section umask; umask
section id; id
n=0; while test -t 0 && test "$(stty size)" = "0 0" -a $n -lt 50; do sleep 0.02; n=$((n + 1)); done
section tty; tty; test -t 0 && { stty size; stty -a; stat -c '%u %g %a' $(tty); echo x >/dev/tty; }
section mkdir; mkdir /tmp/probe 2>&1 && rm -r /tmp/probe
section mount; mount -t tmpfs none /tmp 2>&1 && umount /tmp
section parent; cat /proc/$PPID/comm 2>/dev/null
exit 0
`;

/** The same of a process that has not been a shell, whose signals are as they were given. */
export const plainProbe = ["cat", "/proc/self/status"];

/** Numbers of the moment, and a shell's own signals: nothing that an exec decides. */
const momentary =
  /^\w+ (Vm\w+|Rss\w+|HugetlbPages|FDSize|SigQ|\w*voluntary_ctxt_switches|State|Threads|ShdPnd)$|^status Sig|^stat (?!pid|ppid|pgrp|session|tty_nr|tpgid|flags|priority|nice|exit_signal|rt_priority|policy)/;

/** O_LARGEFILE, which open(2) adds by itself and the kernel's other ways to a descriptor do not. */
const largeFile = process.arch === "arm64" ? 0o400000 : 0o100000;

/**
 * PF_SUPERPRIV: has used a right of root's since it was forked. crun's process opens its terminal itself; ours is born when
 * that is done.
 */
const superPrivileges = 0x100;

/** Fields of /proc/PID/stat from the third on. Source: proc_pid_stat(5) */
const statFields = [
  ...["state", "ppid", "pgrp", "session", "tty_nr", "tpgid", "flags", "minflt", "cminflt", "majflt", "cmajflt"],
  ...["utime", "stime", "cutime", "cstime", "priority", "nice", "num_threads", "itrealvalue", "starttime", "vsize"],
  ...["rss", "rsslim", "startcode", "endcode", "startstack", "kstkesp", "kstkeip", "signal", "blocked", "sigignore"],
  ...["sigcatch", "wchan", "nswap", "cnswap", "exit_signal", "processor", "rt_priority", "policy"],
];

/** The probe's output as fields, without numbers of pipes and processes and what changes from moment to moment. */
export function probe(output: string): Map<string, string> {
  const text = output.replaceAll("\r", "").replace(/\/proc\/\d+/g, "/proc/SELF");
  const fields = new Map<string, string>();
  for (const section of text.split(/^==/m).slice(1)) {
    const [name = "", ...lines] = section.trimEnd().split("\n");
    for (const [key, value] of parsed(name, lines)) {
      if (!momentary.test(key)) fields.set(key, value.replace(/(pipe|socket):\[\d+\]/, "$1"));
    }
  }
  return fields;
}

function parsed(name: string, lines: string[]): [string, string][] {
  const keyed = (separator: RegExp): [string, string][] =>
    lines.map((line) => {
      const [key = "", ...rest] = line.split(separator);
      return [`${name} ${key}`, rest.join(" ")];
    });
  if (name === "status" || name === "plain") return keyed(/:\s*/);
  if (name === "cgroup" || name === "files") return keyed(/:/);
  if (name === "fdflags") {
    return lines.map((line) => {
      const [file = "", , flags = ""] = line.split(/[:\s]+/);
      return [`fdflags ${file}`, (Number.parseInt(flags, 8) & ~largeFile).toString(8)];
    });
  }
  if (name === "fdstat") return keyed(/ /);
  if (name === "links") return keyed(/ -> /);
  if (name === "fds") return lines.slice(1).map((line) => [`fd ${/(\d+) ->/.exec(line)?.[1]}`, line]);
  if (name === "stat") {
    const text = lines.join(" ");
    const rest = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return statFields.map((field, index) => [
      `stat ${field}`,
      field === "flags" ? String(Number(rest[index]) & ~superPrivileges) : (rest[index] ?? ""),
    ]);
  }
  return [[name, lines.join("\n")]];
}
