import type { Representation } from "../http/negotiate.ts";
import type { ResourceKind } from "../registry/kind.ts";
import type { StoreDeps } from "../registry/store.ts";
import type { Access, PodStreams, RequestContext } from "../request.ts";

/** What the verbs need. */
export interface EndpointDeps {
  store: StoreDeps;
  access: Access;
  pods: PodStreams;
}

/** A request on a kind we have. */
export interface Target {
  kind: ResourceKind;
  context: RequestContext;
  representation: Representation;
}
