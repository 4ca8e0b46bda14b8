import { checkDNSSubdomain, type Lease } from "@hawser/api";
import { ageColumn, nameColumn } from "../columns.ts";
import { type FieldError, invalidValue } from "../field-error.ts";
import { define } from "../kind.ts";

/** Source: kubernetes/kubernetes pkg/registry/coordination/lease/strategy.go, pkg/apis/coordination/validation */
export const leases = define<Lease>({
  group: "coordination.k8s.io",
  version: "v1",
  resource: "leases",
  kind: "Lease",
  singular: "lease",
  namespaced: true,
  checkName: checkDNSSubdomain,
  createOnUpdate: true,
  validate({ spec = {} }) {
    const errors: FieldError[] = [];
    if (spec.leaseDurationSeconds !== undefined && spec.leaseDurationSeconds <= 0) {
      errors.push(invalidValue("spec.leaseDurationSeconds", spec.leaseDurationSeconds, "must be greater than 0"));
    }
    if (spec.leaseTransitions !== undefined && spec.leaseTransitions < 0) {
      errors.push(invalidValue("spec.leaseTransitions", spec.leaseTransitions, "must be greater than or equal to 0"));
    }
    return errors;
  },
  columns: [
    nameColumn,
    {
      name: "Holder",
      type: "string",
      description: "Who holds the lease.",
      cell: ({ spec }) => spec?.holderIdentity ?? "",
    },
    ageColumn,
  ],
});
