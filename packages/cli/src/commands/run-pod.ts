import type { EnvVar, Pod } from "@hawser/api";
import { CommandError } from "../errors.ts";
import type { RunFlags } from "./run-flags.ts";

/** The pod `run` describes, members in the order of kubectl's. Throws CommandError. Source: kubernetes/kubectl pkg/generate/versioned/run.go */
export function podOf(name: string, args: readonly string[], flags: RunFlags): Pod {
  const { stdin, tty, port } = flags;
  const labels = flags.labels ? parseLabels(flags.labels) : { run: name };
  const annotations = parseAnnotations(flags.annotations);
  const env = flags.env.map(parseEnv);
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      creationTimestamp: null,
      name,
      labels,
      ...(Object.keys(annotations).length > 0 && { annotations }),
    },
    spec: {
      containers: [
        {
          name,
          image: flags.image,
          ...(args.length > 0 && (flags.command ? { command: [...args] } : { args: [...args] })),
          ...(env.length > 0 && { env }),
          ...(flags["image-pull-policy"] && { imagePullPolicy: flags["image-pull-policy"] }),
          ...(port && { ports: [{ containerPort: Number(port) }] }),
          resources: {},
          ...(flags.privileged && { securityContext: { privileged: true } }),
          ...(stdin && { stdin: true, ...(!flags["leave-stdin-open"] && { stdinOnce: true }) }),
          ...(tty && { tty: true }),
        },
      ],
      dnsPolicy: "ClusterFirst",
      restartPolicy: flags.restart || (stdin ? "OnFailure" : "Always"),
    },
    status: {},
  };
  const overridden = flags.overrides ? mergePatch(pod, parseOverrides(flags.overrides)) : pod;
  return overridden as unknown as Pod; // the API types have no null timestamp, which kubectl sends
}

function parseLabels(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const [key = "", value, ...more] = pair.split("=");
      if (value === undefined || more.length > 0 || !key) throw new CommandError(`unexpected label spec: ${pair}`);
      return [key, value];
    }),
  );
}

function parseAnnotations(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at <= 0) throw new CommandError(`invalid annotations format: ${pair}`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

function parseEnv(pair: string): EnvVar {
  const at = pair.indexOf("=");
  const name = pair.slice(0, at);
  if (at <= 0 || !/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(name)) throw new CommandError(`invalid env: ${pair}`);
  return { name, value: pair.slice(at + 1) };
}

function parseOverrides(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw new CommandError(`Invalid JSON Patch: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  throw new CommandError("Invalid JSON Patch: it is not an object");
}

/** RFC 7386. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
