import { type Answer, jsonAnswer } from "../http/respond.ts";
import { readMembers } from "./members.ts";
import type { EndpointDeps, Target } from "./target.ts";

/** POST serviceaccounts/NAME/token: a signed token for the account. Throws StatusError NotFound. */
export async function requestToken({ access }: EndpointDeps, { context }: Target): Promise<Answer> {
  const { namespace, name } = context.info;
  return jsonAnswer(await access.requestToken({ namespace, name }, await readMembers(context, "TokenRequest")), 201);
}
