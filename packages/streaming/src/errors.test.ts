import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamError, wordsOf } from "./errors.ts";
import { lossOf } from "./remotecommand/broken-off.ts";

test("a StreamError that tells of its peer calls it by the name it is given; other words stay as they are", () => {
  const error = new StreamError("lost", (peer = "the peer") => `${peer} said goodbye`);
  assert.equal(error.message, "the peer said goodbye");
  assert.equal(error.naming("the kubelet"), "the kubelet said goodbye");
  const cut = new StreamError("truncated", (peer) => `an output was cut: ${wordsOf(error, peer)}`);
  assert.equal(cut.message, "an output was cut: the peer said goodbye");
  assert.equal(lossOf(cut, "the kubelet"), "an output was cut: the kubelet said goodbye");
  for (const plain of [new StreamError("protocol", "the peer is odd"), new Error("the peer is odd")]) {
    assert.equal(lossOf(plain, "the kubelet"), "the peer is odd", "somebody else's words");
  }
  assert.equal(lossOf(undefined, "the kubelet"), "the kubelet closed the connection");
});
