import {
  ContainerStatusResponseSchema,
  type CRIConnection,
  ImageStatusResponseSchema,
  PodSandboxStatusResponseSchema,
} from "@hawser/cri";
import { type Found, find, kinds } from "./find.ts";
import { oneOf, outputFormat, parseFlags } from "./flags.ts";
import { write } from "./io.ts";
import { document, type Json, nanoTime, parsed, plain } from "./output.ts";
import type { Verb } from "./verb.ts";

const flags = { type: { type: "string" }, output: { type: "string", short: "o" } } as const;

/** Source: kubernetes-sigs/cri-tools cmd/crictl/util.go outputStatusData */
export const inspect: Verb = (argv) => {
  const { values, positionals } = parseFlags(argv, flags, [1, 1000]);
  const format = outputFormat(values.output, ["json", "yaml"], "json");
  const among = values.type === undefined ? kinds : [oneOf("--type", values.type, kinds)];
  return {
    values,
    async run({ io, cri }) {
      for (const [index, word] of positionals.entries()) {
        const status = await statusOf(cri, await find(cri, word, { among, signal: io.signal }), io.signal);
        await write(io.stdout, (format === "yaml" && index > 0 ? "---\n" : "") + document(status, format), io.signal);
      }
    },
  };
};

async function statusOf(cri: CRIConnection, { kind, id }: Found, signal: AbortSignal): Promise<Json> {
  switch (kind) {
    case "container": {
      const answer = await cri.runtime.containerStatus({ containerId: id, verbose: true }, { signal });
      const times = timesOf(answer.status, ["createdAt", "startedAt", "finishedAt"]);
      return { kind, ...withInfo(plain(ContainerStatusResponseSchema, answer), times) };
    }
    case "sandbox": {
      const answer = await cri.runtime.podSandboxStatus({ podSandboxId: id, verbose: true }, { signal });
      return {
        kind,
        ...withInfo(plain(PodSandboxStatusResponseSchema, answer), timesOf(answer.status, ["createdAt"])),
      };
    }
    case "image": {
      const answer = await cri.images.imageStatus({ image: { image: id }, verbose: true }, { signal });
      const { image, ...rest } = plain(ImageStatusResponseSchema, answer);
      return { kind, ...withInfo({ status: image, ...rest }, {}) };
    }
  }
}

/** Times for people, as crictl has them there. */
function timesOf<Name extends string>(
  status: Partial<Record<Name, bigint>> | undefined,
  names: readonly Name[],
): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, nanoTime(status?.[name] ?? 0n)]));
}

/** `info` is text by name; what of it is JSON is shown as such. */
function withInfo({ status, info, ...rest }: Json, times: Record<string, string>): Json {
  const entries = Object.entries((info ?? {}) as Record<string, string>); // the CRI's map<string, string>
  const { info: only, ...others } = Object.fromEntries(entries.map(([name, text]) => [name, parsed(text)]));
  const isObject = typeof only === "object" && only !== null;
  return {
    status: { ...(status as Json), ...times }, // a message
    info: { ...(isObject ? only : only !== undefined && { info: only }), ...others },
    ...rest,
  };
}
