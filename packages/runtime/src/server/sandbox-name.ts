import { randomBytes } from "node:crypto";
import { Code, CRIError, type PodSandboxConfig } from "@hawser/cri";
import type { SandboxRecord } from "../store/records.ts";

/** 64 hex digits, as every runtime's ids. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** What a sandbox is called; one live sandbox per name. */
export function sandboxName({ name, namespace, uid, attempt }: SandboxRecord["metadata"]): string {
  return `${name}_${namespace}_${uid}_${attempt}`;
}

/** Metadata in plain form. Throws InvalidArgument when the request has none. */
export function sandboxMetadata(config: PodSandboxConfig): SandboxRecord["metadata"] {
  const { metadata } = config;
  if (!metadata) throw new CRIError(Code.InvalidArgument, "sandbox config must include metadata");
  const { name, namespace, uid, attempt } = metadata;
  return { name, namespace, uid, attempt };
}
