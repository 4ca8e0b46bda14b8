// A process of the runtime's for one archive: descriptors 0 to 2 are the session's, 3 is the container's root. Everything it does
// it does on its first thread, whose user is the container's.
import { readSync, writeSync } from "node:fs";
import type { ArchiveRequest } from "@hawser/tar";
import { becomeFileUser, type FileUser } from "../native/credentials.ts";
import { runArchive } from "./work.ts";

/** What the runtime tells it, as JSON, in its one argument. */
export interface ArchiveJob {
  request: ArchiveRequest;
  cwd: string;
  user: FileUser;
}

/** Bytes read at once. */
const readSize = 256 * 1024;

async function run(job: ArchiveJob): Promise<number> {
  const buffer = Buffer.allocUnsafeSlow(readSize);
  const write = (fd: number, bytes: Uint8Array) => {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  };
  const warn = (line: string) => write(2, Buffer.from(`${line}\n`));
  try {
    process.umask(0o022);
    becomeFileUser(job.user);
    const surroundings = {
      root: 3,
      cwd: job.cwd,
      read: () => buffer.subarray(0, readSync(0, buffer)),
      write: (bytes: Buffer) => write(1, bytes),
      warn,
    };
    return await runArchive(surroundings, job.request);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPIPE") return 141; // nobody listens
    warn(`archive: ${withoutDescriptors(error instanceof Error ? error.message : String(error))}`);
    return 2;
  }
}

/** Our own way to a directory means nothing to anybody else. */
function withoutDescriptors(message: string): string {
  return message.replaceAll(/\/proc\/self\/fd\/\d+\//g, "");
}

const [, , job = ""] = process.argv;
// The runtime wrote it. Not awaited at the top: the bundle is CommonJS, which knows no such thing.
void run(JSON.parse(job) as ArchiveJob).then((code) => process.exit(code));
