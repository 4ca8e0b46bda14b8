import { stringify } from "yaml";

/** One thing that can be set in the configuration file. */
export interface Setting {
  /** Dotted, as messages name it: `exec.graceSeconds`. */
  key: string;
  /** What it means, for people; lines of the commented file. */
  text: string[];
  /** Taken over on SIGHUP; otherwise from the next start on. */
  reload: boolean;
}

function atOnce(key: string, ...text: string[]): Setting {
  return { key, text, reload: true };
}

function atStart(key: string, ...text: string[]): Setting {
  return { key, text, reload: false };
}

/** Every setting there is, in the order of the commented file. Defaults are config.ts'. */
export const settings: readonly Setting[] = [
  atOnce(
    "verbosity",
    "How much is logged, as the flag -v says it: 2 shows failed calls and ends of containers, 5 each call.",
  ),
  atStart("podCIDR", "Addresses of pods on the runtime's own network: IPv4, /8 to /30."),
  atStart(
    "cniBinDir",
    "Where the CNI plugins are: bridge, host-local, portmap, loopback. Several directories are separated by colons.",
  ),
  atStart(
    "cniConfDir",
    "Where others, such as calico, flannel or cilium, say what the pods' network is: mostly /etc/cni/net.d. The first",
    "*.conflist, *.conf or *.json there, by name, is taken, and what it says at the time. Its plugins are often in /opt/cni/bin.",
    'With "" it is the runtime\'s own network: a bridge with podCIDR.',
  ),
  atStart(
    "stateDir",
    "Sockets, network namespaces and the OCI runtime's state; must not survive a reboot.",
    'With "" it is /run/hawser/<hash of the root>.',
  ),
  atStart("pauseProgram", "The static program that holds a pod's namespaces: a path, or a name to look up in PATH."),
  atStart("conmonProgram", "The monitor of containers: a path, or a name to look up in PATH."),
  atStart("ociTimeoutSeconds", "One command of crun or runc that takes longer is killed, and its call fails."),
  atStart("cniTimeoutSeconds", "A CNI plugin that takes longer is killed, and its call fails."),
  atStart(
    "cgroupDriver",
    "Who makes cgroups: cgroupfs, or systemd, which has to be the host's init; then pods are slices, containers scopes.",
    "Has to be the kubelet's too: one of 1.28 or later with the gate KubeletCgroupDriverFromCRI asks, others are told.",
  ),
  atStart(
    "cgroupParent",
    "cgroup of pods for which the kubelet names none: a path, or with systemd a slice's name.",
    'With "" it is /hawser-<hash of the root>, or with systemd hawser_<hash of the root>.slice.',
  ),
  atOnce(
    "rlimits",
    "Limits of the processes of containers that are made from now on, by setrlimit's names: soft:hard, or one number for",
    "both; at most our own where we may not raise them. There is no word for unlimited; nproc counts what a user runs on the",
    "whole node. What is not named is as our own, of files the hard limit for both: Node.js raises the soft one at its start.",
    "  nofile: 1024:524288",
  ),
  atStart("streaming.address", "Where exec, attach and port-forward are served, by one-time tokens."),
  atStart("streaming.port", "0 is any free one."),
  atOnce("streaming.idleTimeoutSeconds", "A session without a byte either way ends after this; 0 is never."),
  atStart("streaming.creationTimeoutSeconds", "Within this, a client has to open its streams (SPDY)."),
  atOnce("exec.graceSeconds", "Between SIGHUP and SIGKILL for a command whose client is gone."),
  atOnce(
    "exec.drainSeconds",
    "Silence on an output that a background child holds open, after the command has ended, that counts as its end.",
  ),
  atStart(
    "exec.helper",
    "Commands enter containers by hawser-exec, which is several times faster than the OCI runtime's own exec, and it",
    "starts the node's programs in the runtime's stead, which otherwise answers nobody meanwhile.",
    "false: always the OCI runtime, and the runtime itself. So it is anyway where hawser-exec is missing; and where a",
    "container needs more, the OCI runtime is.",
  ),
  atOnce(
    "images.mirrors",
    "Where to look for a registry's images before the registry itself, in order; * is every other registry:",
    '  docker.io: ["http://127.0.0.1:5000"]',
  ),
  atOnce(
    "images.insecureRegistries",
    "Registries, as host:port, spoken to by plain http. Loopback addresses always are.",
  ),
  atOnce(
    "images.auth",
    "Credentials, where the kubelet sends none. A docker config file, read again at each pull, and entries by registry:",
    "  dockerConfig: /root/.docker/config.json",
    "  registries: { registry.example.com: { username: NAME, password: SECRET } }",
  ),
  atOnce("images.timeouts.connect", "Milliseconds until TCP and TLS to a registry stand."),
  atOnce("images.timeouts.response", "Milliseconds from then until its answer begins."),
  atOnce("images.timeouts.idle", "Longest silence within an answer, milliseconds."),
  atOnce("images.pinned", "Names of images that the kubelet's image collection must leave."),
  atStart(
    "metrics.address",
    "Where Prometheus finds /metrics: unix:///PATH (mode 0600) or a loopback address such as 127.0.0.1:9464.",
    'With "" there is none. Addresses that others reach are refused: there is no authentication.',
  ),
];

const header = `# Configuration of hawser runtime: every setting, with its default. Flags win over this file.
# Settings marked "on reload" are read again on SIGHUP (systemctl reload hawser-runtime); a file with a mistake
# changes nothing then. The others need a restart, which no container notices.
`;

/** The defaults as a YAML file that explains each of them. */
export function commentedConfig(defaults: object): string {
  return header + section(defaults, "");
}

function section(values: object, path: string): string {
  const indent = "  ".repeat(path.split(".").length - 1);
  return Object.entries(values)
    .map(([name, value]) => {
      const key = `${path}${name}`;
      const setting = settings.find((each) => each.key === key);
      if (!setting) return `${indent === "" ? "\n" : ""}${indent}${name}:\n${section(value, `${key}.`)}`;
      const [first = "", ...more] = setting.text;
      const comment = [setting.reload ? `[on reload] ${first}` : first, ...more].map((line) => `${indent}# ${line}\n`);
      return `${indent === "" ? "\n" : ""}${comment.join("")}${indent}${name}: ${stringify(value, { lineWidth: 0 })}`;
    })
    .join("");
}

/** The setting somebody may have meant by a name that does not exist, as a question; empty when none is near. */
export function didYouMean(key: string): string {
  const own = lastOf(key);
  const near = settings
    .flatMap(({ key: known }) => [known, known.slice(0, Math.max(0, known.lastIndexOf(".")))])
    .filter((known) => known !== "")
    .map((known) => ({ known, distance: Math.min(distance(key, known), distance(own, lastOf(known))) }))
    .filter(({ known, distance }) => distance <= Math.min(3, Math.floor(lastOf(known).length / 3)))
    .sort((a, b) => a.distance - b.distance);
  return near[0] ? `; did you mean "${near[0].known}"?` : "";
}

function lastOf(key: string): string {
  return key.slice(key.lastIndexOf(".") + 1);
}

/** Levenshtein's, without regard to case. */
function distance(left: string, right: string): number {
  const [a, b] = [left.toLowerCase().slice(0, 80), right.toLowerCase()];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + Number(a[i - 1] !== b[j - 1]);
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
