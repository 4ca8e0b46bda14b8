import assert from "node:assert/strict";
import { test } from "node:test";
import { genericResponse } from "./generic-response.ts";

const cases: { code: number; said: string; want: { reason?: string; message: string } }[] = [
  { code: 403, said: "no", want: { reason: "Forbidden", message: "no" } },
  { code: 406, said: "", want: { reason: "NotAcceptable", message: "unknown" } },
  {
    code: 404,
    said: "whatever",
    want: { reason: "NotFound", message: "the server could not find the requested resource" },
  },
  {
    code: 418,
    said: "teapot",
    want: { message: "the server responded with the status code 418 but did not return more information" },
  },
  {
    code: 502,
    said: 'a "bad" gateway',
    want: {
      reason: "InternalError",
      message: 'an error on the server ("a \\"bad\\" gateway") has prevented the request from succeeding',
    },
  },
];
for (const { code, said, want } of cases) {
  test(`genericResponse: ${code}`, () => assert.deepEqual(genericResponse(code, said), want));
}
