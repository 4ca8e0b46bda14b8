import { parseArgs } from "node:util";
import { completeConfig, defaultConfig, type PartialConfig, readConfigFile } from "./config.ts";
import type { RuntimeOptions } from "./index.ts";
import { commentedConfig } from "./settings.ts";

const help = `Usage: hawser runtime --root DIR --socket PATH [flags]

Serves the Container Runtime Interface, v1 and v1alpha2, on a Unix socket. Its state is below DIR;
containers outlive it, and the next runtime of the same DIR finds them.

Flags:
  --root DIR              where images, sandboxes and containers are kept (required)
  --socket PATH           the Unix socket to serve on (required)
  --oci-runtime NAME      crun or runc (default: crun where installed, else runc); pods choose by their
                          RuntimeClass' handler, crun or runc, among those installed
  --pod-cidr CIDR         addresses of pods (default ${defaultConfig.podCIDR})
  --cni-bin-dir DIR       where the CNI plugins are (default ${defaultConfig.cniBinDir})
  --cni-conf-dir DIR      where others configure the pods' network, such as /etc/cni/net.d
                          (default: the runtime's own network)
  --config FILE           more settings, as YAML, such as cgroupDriver: cgroupfs or systemd; flags win.
                          A pipe is read once, at the start
  --default-config        print such a file with every setting, its default and what it does
  -v, --v N               log verbosity: 2 shows failed calls and ends of containers, 5 each call (default 0)
  -h, --help              this text

Signals:
  SIGHUP                  read the config file again: what can change at once does, the log names what needs a restart
  SIGTERM, SIGINT         end; containers go on
`;

const flags = {
  root: { type: "string" },
  socket: { type: "string" },
  "oci-runtime": { type: "string" },
  "pod-cidr": { type: "string" },
  "cni-bin-dir": { type: "string" },
  "cni-conf-dir": { type: "string" },
  config: { type: "string" },
  "default-config": { type: "boolean" },
  v: { type: "string", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

/** The flags alone. */
export interface Flags {
  options: Omit<RuntimeOptions, "log" | "config">;
  /** They win over the file's. */
  config: PartialConfig;
  /** The file named by --config. */
  configFile: string | undefined;
}

export interface CommandLine extends Flags {
  options: Flags["options"] & { config: PartialConfig };
  verbosity: number;
  /** The file is a pipe: there is nothing in it any more. */
  fromPipe: boolean;
}

/** Reads the flags: a text to print instead, where that is asked for. Throws with a line for people. */
export function readFlags(argv: string[]): Flags | { print: string } {
  const { values } = parseArgs({ args: argv, options: flags, strict: true });
  if (values.help) return { print: help };
  if (values["default-config"]) return { print: commentedConfig(defaultConfig) };
  const { root, socket, "oci-runtime": ociRuntime } = values;
  const { "pod-cidr": podCIDR, "cni-bin-dir": cniBinDir, "cni-conf-dir": cniConfDir } = values;
  if (!root) throw new Error("--root is required");
  if (!socket) throw new Error("--socket is required");
  if (ociRuntime !== undefined && ociRuntime !== "crun" && ociRuntime !== "runc") {
    throw new Error(`--oci-runtime "${ociRuntime}": crun or runc`);
  }
  const verbosity = values.v === undefined ? undefined : Number(values.v);
  if (verbosity !== undefined && (!Number.isInteger(verbosity) || verbosity < 0)) {
    throw new Error(`-v "${values.v}" is not a number`);
  }
  const config: PartialConfig = {
    ...(verbosity !== undefined && { verbosity }),
    ...(podCIDR !== undefined && { podCIDR }),
    ...(cniBinDir !== undefined && { cniBinDir }),
    ...(cniConfDir !== undefined && { cniConfDir }),
  };
  return { options: { root, socketPath: socket, ociRuntime }, config, configFile: values.config };
}

/** Reads the configuration that goes with the flags, from the file too. Throws with a line for people. */
export async function readConfiguration(given: Flags): Promise<CommandLine> {
  const { options, configFile } = given;
  const read = configFile === undefined ? undefined : await readConfigFile(configFile);
  const config = { ...read?.config, ...given.config };
  const { verbosity } = completeConfig(config);
  return { ...given, options: { ...options, config }, verbosity, fromPipe: read?.fromPipe ?? false };
}
