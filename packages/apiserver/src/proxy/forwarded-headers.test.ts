import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { describeHeaders, forwardedHeaders } from "./forwarded-headers.ts";

const rawHeaders = [
  ["Host", "192.168.205.10:6443"],
  ["Connection", "Upgrade"],
  ["Upgrade", "SPDY/3.1"],
  ["User-Agent", "kubectl/v1.20.2"],
  ["Authorization", "Bearer s3cret"],
  ["Cookie", "s3cret"],
  ["X-Remote-User", "root"],
  ["Impersonate-User", "root"],
  ["X-Stream-Protocol-Version", "v4.channel.k8s.io"],
  ["X-Stream-Protocol-Version", "v3.channel.k8s.io"],
  ["Sec-WebSocket-Protocol", "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.czNjcmV0"],
  ["X-Forwarded-For", "10.1.1.1"],
  ["traceparent", "00-1-2-01"],
].flat();
const socket = { remoteAddress: "::ffff:192.168.205.1" } as Socket;

test("what goes on to the kubelet: no credential, no identity, and where it came from", () => {
  assert.deepEqual(forwardedHeaders({ rawHeaders, socket }), {
    "user-agent": "kubectl/v1.20.2",
    "x-forwarded-for": "10.1.1.1, 192.168.205.1",
    traceparent: "00-1-2-01",
  });
});

test("what the log shows has the upgrade in it and no secret", () => {
  const text = describeHeaders(rawHeaders, forwardedHeaders({ rawHeaders, socket }));
  assert.equal(
    text,
    "map[Connection:[Upgrade] Sec-Websocket-Protocol:[v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.<masked>] " +
      "Traceparent:[00-1-2-01] Upgrade:[SPDY/3.1] User-Agent:[kubectl/v1.20.2] X-Forwarded-For:[10.1.1.1, 192.168.205.1] " +
      "X-Stream-Protocol-Version:[v4.channel.k8s.io v3.channel.k8s.io]]",
  );
});
