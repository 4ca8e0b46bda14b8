// The shapes every part of the API server shares: what a request asks for, who asks, and what the parts ask of each other.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { KubernetesObject, WatchEvent } from "@hawser/api";
import type { UpgradeRequest } from "@hawser/streaming";
import type { Logger } from "@hawser/trace";

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/**
 * What a request's path and method ask for.
 *
 * Source: kubernetes/apiserver pkg/endpoints/request/requestinfo.go
 */
export interface RequestInfo {
  isResourceRequest: boolean;
  path: string;
  /** get, list, watch, create, update, patch, delete, deletecollection; the lower-cased method of a non-resource request. */
  verb: string;
  /** `api`, `apis`, or empty for a non-resource request. */
  apiPrefix: string;
  /** Empty for the core group. */
  apiGroup: string;
  apiVersion: string;
  /** Of a request on a namespace itself: that namespace. */
  namespace: string;
  resource: string;
  /** Empty for none. */
  subresource: string;
  /** Empty for a collection; the one a `metadata.name=` field selector names, for list and watch. */
  name: string;
  /** As sent, for list, watch and deletecollection: the node authorizer asks for `spec.nodeName=`. */
  fieldSelector?: string;
}

export interface UserInfo {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

/** One request on its way through the server. */
export interface RequestContext {
  info: RequestInfo;
  user: UserInfo;
  request: Request;
  /** Missing on an upgrade. */
  response?: Response;
  /** Path and query as sent; its host says nothing. */
  url: URL;
  /** Aborted when the client is gone, the deadline has passed or the server stops. */
  signal: AbortSignal;
  log: Logger;
}

/** Asked of an authorizer: a request's, or those a SubjectAccessReview names. */
export type Attributes = Pick<
  RequestInfo,
  | "isResourceRequest"
  | "verb"
  | "apiGroup"
  | "apiVersion"
  | "namespace"
  | "resource"
  | "subresource"
  | "name"
  | "path"
  | "fieldSelector"
>;

export interface Decision {
  allowed: boolean;
  /** Said to people when not allowed; may be empty. */
  reason: string;
}

/** One rule as a SelfSubjectRulesReview lists it. */
export interface PolicyRule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

/** Who is asking, and may they. Made by filters/. */
export interface Access extends AsyncDisposable {
  /** Throws StatusError 401. */
  authenticate(request: Request): Promise<UserInfo>;
  /** Who a bearer token belongs to, for TokenReview; undefined when nobody's. */
  authenticateToken(token: string): Promise<UserInfo | undefined>;
  decide(user: UserInfo, attributes: Attributes): Promise<Decision>;
  /** Throws StatusError 403 with the real text. */
  authorize(user: UserInfo, attributes: Attributes): Promise<void>;
  /**
   * What authorization cannot see because it is in the object: a node writes only its own node, lease and mirror pods; a role
   * or binding hands out no more than `user` has. To be called before create, update and patch are stored, with the object as it would be stored.
   * Throws StatusError 403.
   */
  admit(user: UserInfo, attributes: Attributes, object: KubernetesObject): Promise<void>;
  /** POST serviceaccounts/NAME/token, authorized: the TokenRequest with its token. Throws StatusError 400, 404, 501. */
  requestToken(account: { namespace: string; name: string }, request: KubernetesObject): Promise<KubernetesObject>;
  /** All rules that hold for `user` in `namespace`. */
  rules?(user: UserInfo, namespace: string): Promise<PolicyRule[]>;
}

/**
 * What `createAccess(options): Promise<Access>` (filters/index.ts) takes. Roles and bindings are read through `objects`;
 * `objects.list` works from the start, before the port is open.
 */
export interface AccessOptions {
  objects: Objects;
  /** Path of a static token file, as kube-apiserver's --token-auth-file. */
  tokenAuthFile?: string;
  /** PEM of the EC key that signs service account tokens. */
  serviceAccountKey?: string;
  log: Logger;
}

/** What `createPodStreams(options): PodStreams` (proxy/index.ts) takes. */
export interface PodStreamsOptions {
  objects: Objects;
  /** For the second check: exec, attach and portforward need `create` whatever the method. */
  access: Pick<Access, "decide">;
  /**
   * How the kubelet is met: our client certificate, and the CA its serving certificate must come from. All PEM.
   * `allowLoopback` is for a cluster on one machine without a network: a node may then be at 127.0.0.1.
   */
  kubelet: {
    certPEM: string;
    keyPEM: string;
    caPEM: string;
    preferredAddressTypes?: string[];
    allowLoopback?: boolean;
  };
  /** Milliseconds for which a session's peer may leave bytes unacknowledged until it counts as gone; 30 s where absent, 0 for TCP's own patience. */
  peerTimeoutMs?: number | undefined;
}

/** The pod subresources that stream. Made by registry/core/pod/. */
export interface PodStreams extends AsyncDisposable {
  /**
   * GET or POST, already authenticated and authorized. Resolves when the session is over.
   * Throws StatusError when it ends before anything was answered; always where the request asks for no upgrade.
   */
  connectPod(
    subresource: "exec" | "attach" | "portforward",
    context: RequestContext,
    upgrade: UpgradeRequest | undefined,
  ): Promise<void>;
  /** GET log: answers `context.response` itself. Throws StatusError when nothing was answered yet. */
  podLog(context: RequestContext): Promise<void>;
  /** nodes/NAME/proxy/PATH: answers `context.response` itself. Throws StatusError when nothing was answered yet. */
  proxyNode(context: RequestContext): Promise<void>;
}

export interface ObjectRef {
  /** Empty or missing for the core group. */
  group?: string;
  resource: string;
  namespace?: string;
  name: string;
}

export interface ListOptions {
  group?: string;
  resource: string;
  /** Missing: all namespaces. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
}

/**
 * The stored objects, for the parts of the server that need them: no authorization, no HTTP.
 * What is handed out is shared: copy before changing it.
 */
export interface Objects {
  /** Throws StatusError NotFound. */
  get<T extends KubernetesObject>(ref: ObjectRef): Promise<T>;
  list<T extends KubernetesObject>(options: ListOptions): Promise<{ items: T[]; resourceVersion: string }>;
  /** Events after `resourceVersion`, until aborted (then it ends). An ERROR event (410) ends it: list again. */
  watch<T extends KubernetesObject>(
    options: ListOptions & { resourceVersion: string; signal: AbortSignal },
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubernetesObject>(ref: Omit<ObjectRef, "name">, object: T): Promise<T>;
  /** Throws StatusError Conflict when the object's resourceVersion is no longer the newest. `subresource` may be `status`. */
  update<T extends KubernetesObject>(ref: ObjectRef & { subresource?: string }, object: T): Promise<T>;
  /** Throws StatusError NotFound, or Conflict when `uid` is given and is another's. Seconds; 0 ends a pod without asking its kubelet. */
  delete(ref: ObjectRef & { uid?: string; gracePeriodSeconds?: number }): Promise<void>;
  /** POST binding: gives the pod its node. Throws StatusError Conflict when it has one. */
  bind(pod: { namespace: string; name: string; uid?: string }, node: string): Promise<void>;
}

/** What `startScheduler(options): AsyncDisposable` (scheduler/index.ts) takes; it runs until disposed. */
export interface SchedulerOptions {
  objects: Objects;
  log: Logger;
}
