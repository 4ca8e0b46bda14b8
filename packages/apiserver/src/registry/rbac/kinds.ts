import { type ClusterRole, type ClusterRoleBinding, checkPathSegment, type Role, type RoleBinding } from "@hawser/api";
import { ageColumn, createdAtColumn, nameColumn, text } from "../columns.ts";
import { type FieldError, immutable, notSupported, required } from "../field-error.ts";
import { type Column, define } from "../kind.ts";

// Source: kubernetes/kubernetes pkg/registry/rbac, pkg/apis/rbac/{v1/defaults.go,validation}, pkg/printers/internalversion/printers.go
const rbac = { group: "rbac.authorization.k8s.io", version: "v1", checkName: checkPathSegment } as const;

type AnyRole = Role | ClusterRole;
type AnyBinding = RoleBinding | ClusterRoleBinding;

const roleHooks = {
  prepare(object: AnyRole) {
    object.rules ??= [];
  },
  validate: ({ rules }: AnyRole): FieldError[] =>
    (rules ?? []).flatMap(({ verbs = [], apiGroups = [], resources = [], nonResourceURLs = [] }, index) => {
      const field = `rules[${index}]`;
      const errors = verbs.length === 0 ? [required(`${field}.verbs`, "verbs must contain at least one value")] : [];
      if (nonResourceURLs.length > 0) return errors;
      if (apiGroups.length === 0) {
        errors.push(required(`${field}.apiGroups`, "resource rules must supply at least one api group"));
      }
      if (resources.length === 0) {
        errors.push(required(`${field}.resources`, "resource rules must supply at least one resource"));
      }
      return errors;
    }),
};

const subjectsOf = (object: AnyBinding, kind: string) =>
  (object.subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map(({ name, namespace }) => (kind === "ServiceAccount" ? `${namespace}/${name}` : name))
    .join(", ");

const bindingColumns: Column<AnyBinding>[] = [
  nameColumn,
  text("Role", "What is granted.", ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`),
  ageColumn,
  ...(["User", "Group", "ServiceAccount"] as const).map(
    (kind): Column<AnyBinding> => ({
      name: `${kind}s`,
      type: "string",
      priority: 1,
      description: `The ${kind}s it is granted to.`,
      cell: (object) => subjectsOf(object, kind),
    }),
  ),
];

const bindingHooks = {
  prepare(object: AnyBinding) {
    if (object.roleRef) object.roleRef.apiGroup ||= rbac.group;
    for (const subject of object.subjects ?? []) {
      subject.apiGroup ??= subject.kind === "ServiceAccount" ? "" : rbac.group;
      if (subject.apiGroup === "") delete subject.apiGroup;
    }
  },
  validate({ roleRef, subjects = [] }: AnyBinding): FieldError[] {
    const errors: FieldError[] = [];
    if (roleRef?.apiGroup !== rbac.group)
      errors.push(notSupported("roleRef.apiGroup", roleRef?.apiGroup ?? "", [rbac.group]));
    if (!["Role", "ClusterRole"].includes(roleRef?.kind ?? "")) {
      errors.push(notSupported("roleRef.kind", roleRef?.kind ?? "", ["ClusterRole", "Role"]));
    }
    if (!roleRef?.name) errors.push(required("roleRef.name"));
    for (const [index, { kind, name, namespace }] of subjects.entries()) {
      const field = `subjects[${index}]`;
      if (!name) errors.push(required(`${field}.name`));
      if (!["ServiceAccount", "User", "Group"].includes(kind)) {
        errors.push(notSupported(`${field}.kind`, kind, ["ServiceAccount", "User", "Group"]));
      }
      if (kind === "ServiceAccount" && !namespace) errors.push(required(`${field}.namespace`));
    }
    return errors;
  },
  update: {
    validate: (next: AnyBinding, current: AnyBinding): FieldError[] => {
      const same = JSON.stringify(sorted(next.roleRef)) === JSON.stringify(sorted(current.roleRef));
      return same ? [] : [{ ...immutable("roleRef", next.roleRef), message: "Invalid value: cannot change roleRef" }];
    },
  },
};

function sorted(value: object): [string, unknown][] {
  return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

export const roles = define<Role>({
  ...rbac,
  ...roleHooks,
  resource: "roles",
  kind: "Role",
  singular: "role",
  namespaced: true,
  columns: [nameColumn, createdAtColumn],
});
export const clusterRoles = define<ClusterRole>({
  ...rbac,
  ...roleHooks,
  resource: "clusterroles",
  kind: "ClusterRole",
  singular: "clusterrole",
  namespaced: false,
  columns: [nameColumn, createdAtColumn],
});
export const roleBindings = define<RoleBinding>({
  ...rbac,
  ...bindingHooks,
  resource: "rolebindings",
  kind: "RoleBinding",
  singular: "rolebinding",
  namespaced: true,
  columns: bindingColumns,
});
export const clusterRoleBindings = define<ClusterRoleBinding>({
  ...rbac,
  ...bindingHooks,
  resource: "clusterrolebindings",
  kind: "ClusterRoleBinding",
  singular: "clusterrolebinding",
  namespaced: false,
  columns: bindingColumns,
});
