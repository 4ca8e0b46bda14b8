import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { connectCRI, type ImageClient, rpcErrorText, upload } from "@hawser/cri";
import { loadMethod } from "./admin.ts";
import { hexOf } from "./digest.ts";

const help = `hawser image: the images of a node

  hawser image load ARCHIVE|-   load an OCI or docker archive (tar, or tar in gzip or zstd); - is standard input
  hawser image pull NAME        pull an image from its registry, or a mirror
  hawser image ls [NAME]        list images
  hawser image rm NAME|ID...    remove images, with all their names

Options:
  --socket PATH                 the runtime's socket (or the variables HAWSER_RUNTIME_SOCKET or
                                CONTAINER_RUNTIME_ENDPOINT; else the cluster's in /var/lib/hawser, else the service's)
  --creds USER:PASSWORD         credentials for pull
  -q, --quiet                   print ids or names only
  --no-trunc                    whole ids and digests
`;

export interface CommandIO {
  stdin: AsyncIterable<Uint8Array>;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
  env: NodeJS.ProcessEnv;
  signal: AbortSignal;
}

interface Flags {
  quiet: boolean;
  truncate: boolean;
  creds: string | undefined;
}

/** Runs one `hawser image` command. Resolves with its exit code: 0, 1 when it failed, 2 when it was not understood. */
export async function runImageCommand(io: CommandIO, argv: string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    return misuse(io, error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const [verb, ...names] = positionals;
  if (values.help || verb === undefined || verb === "help") {
    (values.help || verb === "help" ? io.stdout : io.stderr).write(help);
    return values.help || verb === "help" ? 0 : 2;
  }
  const counts: Record<string, [least: number, most: number]> = {
    load: [1, 1],
    pull: [1, 1],
    ls: [0, 1],
    rm: [1, 1000],
  };
  const [least, most] = (Object.hasOwn(counts, verb) && counts[verb]) || [0, -1];
  if (most < 0) return misuse(io, `unknown command "${verb}"`);
  if (names.length < least || names.length > most) return misuse(io, `"${verb}" does not take ${names.length} names`);
  const given = values.socket ?? io.env.HAWSER_RUNTIME_SOCKET;
  if (!given) return misuse(io, "which runtime? give its --socket PATH");
  const socket = resolve(given); // in a URL, a relative path would be a host

  const flags: Flags = { quiet: values.quiet, truncate: !values["no-trunc"], creds: values.creds };
  try {
    if (verb === "load") await load(io, `unix://${socket}`, names[0] ?? "-");
    else await withImages(io, `unix://${socket}`, verb, names, flags);
    return 0;
  } catch (error) {
    io.stderr.write(`error: ${rpcErrorText(error)}\n`);
    return 1;
  }
}

function parse(argv: string[]) {
  return parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      help: { type: "boolean", short: "h", default: false },
      socket: { type: "string" },
      creds: { type: "string" },
      quiet: { type: "boolean", short: "q", default: false },
      "no-trunc": { type: "boolean", default: false },
    },
  });
}

function misuse({ stderr }: CommandIO, message: string): number {
  stderr.write(`error: ${message}\nSee 'hawser image --help'.\n`);
  return 2;
}

async function load({ stdin, stdout, signal }: CommandIO, endpoint: string, path: string): Promise<void> {
  const chunks = path === "-" ? stdin : createReadStream(path, { highWaterMark: 256 * 1024 });
  const answer = await upload({ endpoint, path: loadMethod, chunks, signal });
  const { images } = JSON.parse(Buffer.from(answer).toString("utf8")) as { images: string[] };
  for (const name of images) stdout.write(`${name}\n`);
}

async function withImages(io: CommandIO, endpoint: string, verb: string, names: string[], flags: Flags) {
  using connection = await connectCRI({ endpoint });
  const { images } = connection;
  if (verb === "pull") await pull(io, images, names[0] ?? "", flags);
  else if (verb === "ls") await list(io, images, names[0], flags);
  else await remove(io, images, names);
}

async function pull({ stdout, signal }: CommandIO, images: ImageClient, name: string, { creds }: Flags): Promise<void> {
  const [username = "", ...password] = creds?.split(":") ?? [];
  const auth = creds === undefined ? {} : { auth: { username, password: password.join(":") } };
  const { imageRef } = await images.pullImage({ image: { image: name }, ...auth }, { signal });
  stdout.write(`${imageRef}\n`);
}

async function list({ stdout, signal }: CommandIO, images: ImageClient, name: string | undefined, flags: Flags) {
  const filter = name === undefined ? {} : { filter: { image: { image: name } } };
  const answer = await images.listImages(filter, { signal });
  const shown = (id: string) => (flags.truncate ? hexOf(id).slice(0, 12) : id);
  if (flags.quiet) {
    for (const { id } of answer.images) stdout.write(`${shown(id)}\n`);
    return;
  }
  const rows = answer.images.flatMap(({ id, repoTags, repoDigests, size }) => {
    const tags = repoTags.length > 0 ? repoTags : [`${(repoDigests[0] ?? "<none>").split("@")[0]}:<none>`];
    return tags.map((tag) => {
      const colon = tag.lastIndexOf(":");
      return [tag.slice(0, colon), tag.slice(colon + 1), shown(id), megabytes(size)];
    });
  });
  stdout.write(table([["IMAGE", "TAG", "IMAGE ID", "SIZE"], ...rows.sort(byText)]));
}

async function remove({ stdout, signal }: CommandIO, images: ImageClient, names: string[]): Promise<void> {
  for (const name of names) {
    const { image } = await images.imageStatus({ image: { image: name } }, { signal });
    if (!image) throw new Error(`no such image: ${name}`);
    await images.removeImage({ image: { image: image.id } }, { signal });
    stdout.write(`Deleted: ${image.repoTags.join(", ") || image.id}\n`);
  }
}

function megabytes(size: bigint): string {
  const bytes = Number(size);
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)}MB` : `${(bytes / 1e3).toFixed(1)}kB`;
}

function byText(a: string[], b: string[]): number {
  const [left, right] = [a.join(" "), b.join(" ")];
  return left < right ? -1 : Number(left > right);
}

function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("   ")
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join("");
}
