import assert from "node:assert/strict";
import { test } from "node:test";
import { choosePlatform, type Descriptor, parseManifest, thisPlatform } from "./manifest.ts";

const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));
const descriptor = (letter: string, rest: object = {}) => ({
  mediaType: "x",
  digest: digest(letter),
  size: 1,
  ...rest,
});

test("parseManifest: an image, OCI's or Docker's", () => {
  const manifest = parseManifest(bytes({ schemaVersion: 2, config: descriptor("a"), layers: [descriptor("b")] }));
  assert.equal(manifest.kind, "image");
});

test("parseManifest: an index", () => {
  const manifest = parseManifest(bytes({ schemaVersion: 2, manifests: [descriptor("a")] }));
  assert.equal(manifest.kind, "index");
});

const wrong: [name: string, value: unknown, message: RegExp][] = [
  ["schema 1", { schemaVersion: 1, fsLayers: [] }, /no longer supported/],
  ["no manifest at all", { hello: 1 }, /unsupported manifest/],
  ["both kinds at once", { manifests: [], config: descriptor("a"), layers: [] }, /unsupported manifest/],
  ["a digest of another kind", { config: descriptor("a", { digest: "md5:1" }), layers: [] }, /unsupported digest/],
  ["a negative size", { config: descriptor("a", { size: -1 }), layers: [] }, /valid size/],
  [
    "an encrypted layer",
    { config: descriptor("a"), layers: [descriptor("b", { mediaType: "x+encrypted" })] },
    /encrypted/,
  ],
  ["a list", [], /unsupported manifest/],
  ["null", null, /no JSON object/],
];
for (const [name, value, message] of wrong) {
  test(`parseManifest: refuses ${name}`, () => {
    assert.throws(() => parseManifest(bytes(value)), { message });
  });
}

const entry = (letter: string, platform?: object, annotations = {}): Descriptor =>
  ({ ...descriptor(letter), annotations, ...(platform && { platform }) }) as Descriptor;
const arm64 = thisPlatform("arm64");
const choices: [name: string, manifests: Descriptor[], wanted: string | undefined][] = [
  [
    "the same platform",
    [entry("a", { os: "linux", architecture: "amd64" }), entry("b", { os: "linux", architecture: "arm64" })],
    "b",
  ],
  [
    "the same variant before none",
    [
      entry("a", { os: "linux", architecture: "arm64" }),
      entry("b", { os: "linux", architecture: "arm64", variant: "v8" }),
    ],
    "b",
  ],
  [
    "an entry without platform where nothing fits",
    [entry("a", { os: "windows", architecture: "arm64" }), entry("b")],
    "b",
  ],
  ["no attestation", [entry("a", undefined, { "vnd.docker.reference.type": "attestation-manifest" })], undefined],
  ["nothing for another machine", [entry("a", { os: "linux", architecture: "s390x" })], undefined],
];
for (const [name, manifests, wanted] of choices) {
  test(`choosePlatform: ${name}`, () => {
    assert.equal(choosePlatform(manifests, arm64)?.digest, wanted && digest(wanted));
  });
}
