import type { CRIConnection } from "@hawser/cri";
import { type ClientSession, openRemoteCommand, type RemoteCommandStreams } from "@hawser/streaming";

const streams = { stdin: false, stdout: true, stderr: true, tty: false };

/** Opens a streaming exec, over the URL that the CRI's Exec answers. */
export async function openExec(
  cri: CRIConnection,
  options: {
    containerId: string;
    cmd: string[];
    transports?: ("websocket" | "spdy")[];
  } & Partial<RemoteCommandStreams>,
): Promise<ClientSession> {
  const { containerId, cmd, transports, ...wanted } = options;
  const asked = { ...streams, ...(wanted.tty && { stderr: false }), ...wanted };
  const { url } = await cri.runtime.exec({ containerId, cmd, ...asked });
  return await openRemoteCommand({ url: new URL(url) }, { ...asked, ...(transports && { transports }) });
}

export async function openAttach(
  cri: CRIConnection,
  { containerId, ...wanted }: { containerId: string } & Partial<RemoteCommandStreams>,
): Promise<ClientSession> {
  const asked = { ...streams, ...(wanted.tty && { stderr: false }), ...wanted };
  const { url } = await cri.runtime.attach({ containerId, ...asked });
  return await openRemoteCommand({ url: new URL(url) }, asked);
}

export async function textOf(source: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Reads until the text has `part`. Throws at the end of the stream. */
export async function readUntil(source: AsyncIterator<Uint8Array>, part: string | RegExp): Promise<string> {
  let text = "";
  for (;;) {
    const { value, done } = await source.next();
    if (done) throw new Error(`the stream ended without ${part}: ${JSON.stringify(text)}`);
    text += Buffer.from(value).toString();
    if (typeof part === "string" ? text.includes(part) : part.test(text)) return text;
  }
}
