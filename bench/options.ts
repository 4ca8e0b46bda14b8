import { parseArgs } from "node:util";

/** What can be measured, in the order it is, and what each is. */
const sections = {
  floor: "a bare `crun exec`",
  cri: "execs, containers and pods by RPC",
  streams: "bytes through sessions, and to the first of them",
  idle: "1,000 sessions that have nothing to say (100 with --quick)",
  cluster: "execs and pods through kubelet and API server, hawser and kubectl as commands",
  memory: "what daemons and pods weigh",
  pods: "pods one by one, 50 at once, the daemons at rest and with 100 and 500 containers",
  data: "images pulled, a container's log",
  loop: "the event loop while the daemon has its hands full",
  daemons: "what our API server and kubelet weigh",
  up: "`hawser up`",
} as const;
export type Section = keyof typeof sections;

/** The contestants by their column's heading. */
export const peerNames = ["Hawser + crun", "Hawser + runc", "containerd + runc", "containerd + crun"] as const;
export type PeerName = (typeof peerNames)[number];

export interface Options {
  /** Of each row; throughput has fewer. */
  runs: number;
  quick: boolean;
  wants(section: Section): boolean;
  peers: PeerName[];
}

const help = `Usage: node bench/main.ts [--quick] [--only SECTION]... [--peer WORD]...

Measures Hawser's runtime and Debian's containerd in turn, on this machine, and prints the table of docs/benchmarks.md on
standard output; what it is doing goes to standard error. Needs root, and what the tests need: crun, runc, conmon, CNI plugins,
Debian's containerd and registry. A contestant that cannot be started is left out, with the reason. With everything it takes most of an
hour, in which the machine should do nothing else. It removes all it has made, also when it is interrupted.

  --quick          5 runs of each row instead of 30
  --only SECTION   this section; may be given several times. Sections:
${Object.entries(sections)
  .map(([name, what]) => `                     ${name.padEnd(8)} ${what}`)
  .join("\n")}
  --peer WORD      only contestants with this in their names; may be given several times. They are:
                     ${peerNames.join(", ")}
  --help           this text
`;

/** The command line is one that asks for help, or for what there is not. `text` is the answer. */
export class UsageAnswer extends Error {
  override readonly name = "UsageAnswer";
  readonly exitCode: 0 | 2;

  constructor(text: string, exitCode: 0 | 2) {
    super(text);
    this.exitCode = exitCode;
  }
}

/** Reads the command line. Throws UsageAnswer for --help, and for words and options that mean nothing. */
export function parseOptions(args: readonly string[]): Options {
  const { quick, only, peer, help: asked } = parse(args);
  if (asked) throw new UsageAnswer(help, 0);
  for (const name of only ?? []) {
    if (!(name in sections)) refuse(`--only ${name}: the sections are ${Object.keys(sections).join(", ")}`);
  }
  const peers = peerNames.filter((name) => !peer || peer.some((word) => name.includes(word)));
  for (const word of peer ?? []) {
    if (!peerNames.some((name) => name.includes(word))) {
      refuse(`--peer ${word}: the contestants are ${peerNames.join(", ")}`);
    }
  }
  return { runs: quick ? 5 : 30, quick, wants: (section) => only === undefined || only.includes(section), peers };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string", multiple: true },
        peer: { type: "string", multiple: true },
        help: { type: "boolean", short: "h", default: false },
      },
    }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function refuse(why: string): never {
  throw new UsageAnswer(`bench: ${why}\nSee node bench/main.ts --help\n`, 2);
}
