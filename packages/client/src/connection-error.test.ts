import assert from "node:assert/strict";
import { it } from "node:test";
import { connectionError } from "./connection-error.ts";

it("a session that is not answered in time may have reached its server, a connection that was never made cannot", () => {
  for (const [code, unsent] of [
    ["ERR_DIAL_TIMEOUT", false],
    ["ETIMEDOUT", true],
  ] as const) {
    const cause = Object.assign(new Error("late"), { code });
    const error = connectionError(cause, new URL("https://10.0.0.1:6443/"));
    assert.equal(error.message, "Unable to connect to the server: dial tcp 10.0.0.1:6443: i/o timeout");
    assert.deepEqual([error.kind, error.unsent, error.cause], ["timeout", unsent, cause]);
  }
});
