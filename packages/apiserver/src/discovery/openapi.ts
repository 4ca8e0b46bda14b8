import { createHash } from "node:crypto";
import { failure } from "@hawser/api";
import { type Answer, jsonAnswer } from "../http/respond.ts";
import { apiVersionOf } from "../registry/kind.ts";
import { kinds } from "../registry/kinds.ts";
import { encodeDocument } from "./gnostic.ts";
import { groupVersions } from "./groups.ts";
import { definitions, info, paths, type Schema } from "./openapi-model.ts";

/** What clients ask for; the first is no valid media type, so what is said back is the second. */
const v2Protobufs = [
  "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
  "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];
const v2Protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/** Documents that were asked for once; there is one for each group's version and two more. */
const made = new Map<string, Buffer>();

/** Answers `/openapi/v2`, `/openapi/v3` and the documents below it; undefined for other paths. */
export function openAPI(path: string, { accept }: { accept?: string | undefined }): Answer | undefined {
  if (path === "/openapi/v2") return v2(accept ?? "*/*");
  if (path === "/openapi/v3")
    return jsonAnswer({ paths: Object.fromEntries(v3Paths().map((one) => [one, v3Entry(one)])) });
  const below = path.startsWith("/openapi/v3/") ? path.slice("/openapi/v3/".length) : "";
  if (!v3Paths().includes(below)) return undefined;
  if (!accepts(accept ?? "*/*", "application/json")) throw notAcceptable("application/json");
  return answer(v3Document(below), "application/json");
}

function v2(accept: string): Answer {
  // Newer clients name both: the binary one first.
  if (v2Protobufs.some((type) => accept.includes(type))) {
    return answer(
      once("v2.pb", () => encodeDocument(v2Model())),
      v2Protobuf,
    );
  }
  if (!accepts(accept, "application/json")) throw notAcceptable(`application/json, ${v2Protobuf}`);
  return answer(
    once("v2.json", () => Buffer.from(JSON.stringify(v2Model()))),
    "application/json",
  );
}

function v2Model(): Record<string, unknown> {
  const reference = (name: string): Schema => ({ $ref: `#/definitions/${name}` });
  const parameter = (name: string, type: string): Schema => ({ uniqueItems: true, type, name, in: "query" });
  return { swagger: "2.0", info, paths: paths(kinds, parameter), definitions: definitions(reference) };
}

function v3Paths(): string[] {
  return groupVersions.map((one) => (one.group ? `apis/${apiVersionOf(one)}` : `api/${one.version}`));
}

function v3Entry(path: string): Schema {
  const hash = createHash("sha256").update(v3Document(path)).digest("hex").toUpperCase();
  return { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
}

function v3Document(path: string): Buffer {
  return once(path, () => {
    const group = groupVersions.find(
      (one) => path === (one.group ? `apis/${apiVersionOf(one)}` : `api/${one.version}`),
    );
    const served = kinds.filter((kind) => kind.group === group?.group);
    const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
    const parameter = (name: string, type: string): Schema => ({
      name,
      in: "query",
      schema: { type, uniqueItems: true },
    });
    const schemas = definitions(reference);
    return Buffer.from(
      JSON.stringify({ openapi: "3.0.0", info, paths: paths(served, parameter), components: { schemas } }),
    );
  });
}

function once(name: string, make: () => Buffer): Buffer {
  const known = made.get(name);
  if (known) return known;
  const document = make();
  made.set(name, document);
  return document;
}

function answer(body: Buffer, contentType: string): Answer {
  const etag = `"${createHash("sha256").update(body).digest("hex").toUpperCase()}"`;
  return { code: 200, contentType, body, headers: { ETag: etag, Vary: "Accept" } };
}

function accepts(accept: string, type: string): boolean {
  return accept.split(",").some((part) => [type, "application/*", "*/*"].includes(part.split(";")[0]?.trim() ?? ""));
}

function notAcceptable(types: string) {
  return failure({
    code: 406,
    reason: "NotAcceptable",
    message: `only the following media types are accepted: ${types}`,
  });
}
