import type { Answer } from "../http/respond.ts";

/** Answers `/openapi/…`; undefined for other paths. */
export async function openAPI(_path: string, _headers: { accept?: string | undefined }): Promise<Answer | undefined> {
  return undefined;
}
