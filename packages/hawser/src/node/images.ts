import { type Image, ListImagesResponseSchema } from "@hawser/cri";
import { outputFormat, parseFlags } from "./flags.ts";
import { write } from "./io.ts";
import { bytes, document, plain, shown, table } from "./output.ts";
import type { Verb } from "./verb.ts";

const flags = {
  digests: { type: "boolean", default: false },
  quiet: { type: "boolean", short: "q", default: false },
  "no-trunc": { type: "boolean", default: false },
  output: { type: "string", short: "o" },
} as const;

/** Source: kubernetes-sigs/cri-tools cmd/crictl/image.go */
export const images: Verb = (argv) => {
  const { values, positionals } = parseFlags(argv, flags, [0, 1]);
  const format = outputFormat(values.output, ["table", "json", "yaml"], "table");
  const [name] = positionals;
  return {
    values,
    async run({ io, cri }) {
      const filter = name === undefined ? {} : { filter: { image: { image: name } } };
      const answer = await cri.images.listImages(filter, io);
      const text =
        format !== "table"
          ? document(plain(ListImagesResponseSchema, answer), format)
          : values.quiet
            ? answer.images.map(({ id }) => `${id}\n`).join("")
            : imageTable(answer.images, { whole: values["no-trunc"], digests: values.digests });
      await write(io.stdout, text, io.signal);
    },
  };
};

function imageTable(found: Image[], { whole, digests }: { whole: boolean; digests: boolean }): string {
  const rows = found.flatMap(({ id, repoTags, repoDigests, size }) => {
    const [repository = "<none>", digest = "<none>"] = repoDigests[0]?.split("@") ?? [];
    const tags = repoTags.length > 0 ? repoTags : [`${repository}:<none>`];
    return tags.map((tag) => {
      const colon = tag.lastIndexOf(":");
      const middle = digests ? [whole ? digest : shown(digest, false)] : [];
      return [tag.slice(0, colon), tag.slice(colon + 1), ...middle, shown(id, whole), bytes(size)];
    });
  });
  rows.sort((a, b) => Number(a.join(" ") > b.join(" ")) || -1);
  return table([["IMAGE", "TAG", ...(digests ? ["DIGEST"] : []), "IMAGE ID", "SIZE"], ...rows]);
}
