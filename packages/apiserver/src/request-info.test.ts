import assert from "node:assert/strict";
import { test } from "node:test";
import { requestInfo } from "./request-info.ts";

const cases: { method: string; path: string; want: string }[] = [
  { method: "GET", path: "/api/v1/namespaces", want: "list v1 ns= namespaces" },
  { method: "GET", path: "/api/v1/namespaces/other", want: "get v1 ns=other namespaces/other" },
  { method: "PUT", path: "/api/v1/namespaces/other/finalize", want: "update v1 ns=other namespaces/other/finalize" },
  { method: "GET", path: "/api/v1/namespaces/other/pods", want: "list v1 ns=other pods" },
  { method: "GET", path: "/api/v1/namespaces/other/pods?watch=true", want: "watch v1 ns=other pods" },
  { method: "GET", path: "/api/v1/watch/namespaces/other/pods/a", want: "watch v1 ns=other pods/a" },
  { method: "GET", path: "/api/v1/pods?fieldSelector=metadata.name%3Da", want: "list v1 ns= pods/a" },
  { method: "POST", path: "/api/v1/namespaces/other/pods/a/exec?command=sh", want: "create v1 ns=other pods/a/exec" },
  { method: "GET", path: "/api/v1/nodes/n/proxy/a/b", want: "get v1 ns= nodes/n/proxy" },
  { method: "DELETE", path: "/api/v1/namespaces/other/pods", want: "deletecollection v1 ns=other pods" },
  { method: "PATCH", path: "/api/v1/namespaces/other/pods/a/status", want: "patch v1 ns=other pods/a/status" },
  { method: "GET", path: "/apis/coordination.k8s.io/v1/leases", want: "list coordination.k8s.io/v1 ns= leases" },
  { method: "GET", path: "/apis/coordination.k8s.io/v1", want: "get /apis/coordination.k8s.io/v1" },
  { method: "GET", path: "/api/v1", want: "get /api/v1" },
  { method: "GET", path: "/healthz", want: "get /healthz" },
];
for (const { method, path, want } of cases) {
  test(`requestInfo: ${method} ${path}`, () => {
    const info = requestInfo(method, new URL(path, "https://localhost"));
    const group = info.apiGroup ? `${info.apiGroup}/${info.apiVersion}` : info.apiVersion;
    const what = [info.resource, info.name, info.subresource].filter((part) => part !== "").join("/");
    const got = info.isResourceRequest
      ? `${info.verb} ${group} ns=${info.namespace} ${what}`
      : `${info.verb} ${info.path}`;
    assert.equal(got, want);
  });
}

const selectors: { method: string; path: string; want: string | undefined }[] = [
  { method: "GET", path: "/api/v1/pods?fieldSelector=spec.nodeName%3Dn", want: "spec.nodeName=n" },
  { method: "GET", path: "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn", want: "spec.nodeName=n" },
  { method: "DELETE", path: "/api/v1/namespaces/a/pods?fieldSelector=spec.nodeName%3Dn", want: "spec.nodeName=n" },
  { method: "GET", path: "/api/v1/namespaces/a/pods/p?fieldSelector=spec.nodeName%3Dn", want: undefined },
  { method: "GET", path: "/api/v1/watch/pods?fieldSelector=spec.nodeName%3Dn", want: undefined },
];
for (const { method, path, want } of selectors) {
  test(`requestInfo: the field selector an authorizer may count on, ${method} ${path}`, () => {
    assert.equal(requestInfo(method, new URL(path, "https://localhost")).fieldSelector, want);
  });
}
