import type { Registry } from "@hawser/testing";
import { httpServer } from "../../packages/runtime/src/images/testing/server.ts";

/** The genuine registry behind a server that spoils something. */
export async function proxyTo(
  { host }: Registry,
  how: { wants?: string; corrupt?: boolean; on?: (url: string) => unknown },
) {
  return await httpServer(async (request, response) => {
    how.on?.(request.url ?? "");
    if (how.wants) {
      response.writeHead(401, { "WWW-Authenticate": how.wants }).end();
      return;
    }
    const answer = await fetch(`http://${host}${request.url}`, {
      method: request.method ?? "GET",
      headers: { Accept: request.headers.accept ?? "*/*" },
    });
    const body = Buffer.from(await answer.arrayBuffer());
    if (how.corrupt && request.url?.includes("/blobs/") && body.length > 100_000) body[50_000] = ~(body[50_000] ?? 0);
    const length = answer.headers.get("content-length") ?? String(body.length);
    response.writeHead(answer.status, {
      "Content-Type": answer.headers.get("content-type") ?? "application/octet-stream",
      "Content-Length": length,
      ...(answer.headers.get("docker-content-digest") && {
        "Docker-Content-Digest": answer.headers.get("docker-content-digest") ?? "",
      }),
    });
    response.end(body);
  });
}
