import { parseArgs } from "node:util";
import { defaultConfig, type PartialConfig, readConfigFile } from "./config.ts";
import type { RuntimeOptions } from "./index.ts";

export const help = `Usage: hawser runtime --root DIR --socket PATH [flags]

Serves the Container Runtime Interface, v1 and v1alpha2, on a Unix socket. Its state is below DIR;
containers outlive it, and the next runtime of the same DIR finds them.

Flags:
  --root DIR              where images, sandboxes and containers are kept (required)
  --socket PATH           the Unix socket to serve on (required)
  --oci-runtime NAME      crun or runc (default: crun where installed, else runc)
  --pod-cidr CIDR         addresses of pods (default ${defaultConfig.podCIDR})
  --cni-bin-dir DIR       where the CNI plugins are (default ${defaultConfig.cniBinDir})
  --config FILE           more settings, as YAML; flags win
  -v, --v N               log verbosity: 2 shows failed calls and ends of containers, 5 each call (default 0)
  -h, --help              this text

Settings of the config file, with their defaults:
  podCIDR: ${defaultConfig.podCIDR}
  cniBinDir: ${defaultConfig.cniBinDir}
  stateDir: ""                 # sockets, network namespaces, the OCI runtime's state: /run/hawser/<hash of DIR>
  pauseProgram: ${defaultConfig.pauseProgram}      # static; looked up in PATH
  conmonProgram: ${defaultConfig.conmonProgram}        # looked up in PATH
  cgroupParent: ""             # of pods that name none: /hawser-<hash of DIR>
  streaming:
    address: ${defaultConfig.streaming.address}         # where exec, attach and port-forward are served, by one-time tokens
    port: ${defaultConfig.streaming.port}                    # 0: any free one
    idleTimeoutSeconds: ${defaultConfig.streaming.idleTimeoutSeconds}  # without a byte either way; 0: never
  exec:
    graceSeconds: ${defaultConfig.exec.graceSeconds}            # between SIGHUP and SIGKILL when the client of an exec is gone
    drainSeconds: ${defaultConfig.exec.drainSeconds}         # silence on an output, held open by a background child, that counts as its end
  images:
    mirrors: {}                # by registry: { docker.io: [http://127.0.0.1:5000] }
    insecureRegistries: []     # host:port spoken to by plain http; loopback always is
    auth: {}                   # { dockerConfig: FILE } or { registries: { HOST: { username, password } } }
    pinned: []                 # images the kubelet must not collect
`;

const flags = {
  root: { type: "string" },
  socket: { type: "string" },
  "oci-runtime": { type: "string" },
  "pod-cidr": { type: "string" },
  "cni-bin-dir": { type: "string" },
  config: { type: "string" },
  v: { type: "string", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

export interface CommandLine {
  options: Omit<RuntimeOptions, "log">;
  verbosity: number;
}

/** Reads the command line and the config file it names. Throws with a line for people. */
export async function readCommandLine(argv: string[]): Promise<CommandLine | "help"> {
  const { values } = parseArgs({ args: argv, options: flags, strict: true });
  if (values.help) return "help";
  const { root, socket, "oci-runtime": ociRuntime, "pod-cidr": podCIDR, "cni-bin-dir": cniBinDir } = values;
  if (!root) throw new Error("--root is required");
  if (!socket) throw new Error("--socket is required");
  if (ociRuntime !== undefined && ociRuntime !== "crun" && ociRuntime !== "runc") {
    throw new Error(`--oci-runtime "${ociRuntime}": crun or runc`);
  }
  const verbosity = Number(values.v ?? 0);
  if (!Number.isInteger(verbosity) || verbosity < 0) throw new Error(`-v "${values.v}" is not a number`);
  const config: PartialConfig = {
    ...(values.config !== undefined && (await readConfigFile(values.config))),
    ...(podCIDR !== undefined && { podCIDR }),
    ...(cniBinDir !== undefined && { cniBinDir }),
  };
  return { options: { root, socketPath: socket, ociRuntime, config }, verbosity };
}
