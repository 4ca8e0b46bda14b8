import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;
const valid: [text: string, full: string][] = [
  ["nginx", "docker.io/library/nginx:latest"],
  ["nginx:1.25", "docker.io/library/nginx:1.25"],
  ["user/app", "docker.io/user/app:latest"],
  ["docker.io/nginx", "docker.io/library/nginx:latest"],
  ["index.docker.io/library/nginx", "docker.io/library/nginx:latest"],
  ["localhost/app", "localhost/app:latest"],
  ["localhost:5000/app:v1", "localhost:5000/app:v1"],
  ["127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest"],
  ["[::1]:5000/app", "[::1]:5000/app:latest"],
  ["registry.k8s.io/pause:3.9", "registry.k8s.io/pause:3.9"],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`],
  [`nginx:1.25@${digest}`, `docker.io/library/nginx@${digest}`],
  ["a__b/c.d/e---f:T_1.x-y", "docker.io/a__b/c.d/e---f:T_1.x-y"],
];
for (const [text, full] of valid) {
  test(`parseReference: ${text}`, () => {
    assert.equal(formatReference(parseReference(text)), full);
    assert.equal(formatReference(parseReference(full)), full, "the full name stands for itself");
  });
}

const invalid: [text: string, message: RegExp][] = [
  ["", /at least one component/],
  ["Nginx", /must be lowercase/],
  ["nginx:", /invalid reference format/],
  [`nginx:${"t".repeat(129)}`, /invalid reference format/],
  ["nginx@sha256:abc", /invalid reference format/],
  [`nginx@sha512:${"a".repeat(128)}`, /unsupported digest algorithm/],
  ["a//b", /invalid reference format/],
  ["-a", /invalid reference format/],
  ["../etc", /invalid reference format/],
  ["a b", /invalid reference format/],
  ["http://a/b", /invalid reference format/],
  ["a".repeat(64), /64-byte hexadecimal/],
  [`x/${"a".repeat(300)}`, /not be more than 255/],
];
for (const [text, message] of invalid) {
  test(`parseReference: refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(() => parseReference(text), { name: "InvalidReference", message });
  });
}
