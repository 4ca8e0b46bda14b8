import { StatusResponseSchema } from "@hawser/cri";
import { outputFormat, parseFlags } from "./flags.ts";
import { write } from "./io.ts";
import { document, parsed, plain } from "./output.ts";
import type { Verb } from "./verb.ts";

/** Source: kubernetes-sigs/cri-tools cmd/crictl/info.go */
export const info: Verb = (argv) => {
  const { values } = parseFlags(argv, { output: { type: "string", short: "o" } } as const, [0, 0]);
  const format = outputFormat(values.output, ["json", "yaml"], "json");
  return {
    values,
    async run({ io, cri, endpoint }) {
      const answer = await cri.runtime.status({ verbose: true }, io);
      const { info: details, ...rest } = plain(StatusResponseSchema, answer);
      const entries = Object.entries((details ?? {}) as Record<string, string>); // the CRI's map<string, string>
      const { runtimeName, runtimeVersion, apiVersion } = cri;
      const text = document(
        {
          endpoint,
          apiVersion,
          runtimeName,
          runtimeVersion,
          ...rest,
          info: Object.fromEntries(entries.map(([name, value]) => [name, parsed(value)])),
        },
        format,
      );
      await write(io.stdout, text, io.signal);
    },
  };
};
