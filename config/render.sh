#!/bin/sh
# Renders the plain manifests of this folder from the chart, for clusters without Helm.
#   config/render.sh [output folder]        HELM names the helm binary, else the one on the path.
# Into this folder it first copies the generated definitions of crds/ into the chart.
# The chart's tests fail when the files here differ from what this writes.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
output=${1:-"$root/config"}
helm=${HELM:-helm}
namespace=mysql-takeover-system

[ "$#" -gt 0 ] || cp "$root"/crds/*.yaml "$root/charts/mysql-takeover/files/crds/"
version=$(sed -n 's/^appVersion: *//p' "$root/charts/mysql-takeover/Chart.yaml")

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# What only a Helm release may say of itself is left out. No pipe: it would hide that helm failed.
render() {
    "$helm" template mysql-takeover "$root/charts/mysql-takeover" --namespace "$namespace" --kube-version 1.36.4 \
        --set crds.keep=false "$@" >"$scratch/rendered"
    sed -e '/^# Source: /d' -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' "$scratch/rendered"
}

{
    cat <<HEADER
# mysql-takeover $version, serving every namespace. Rendered from charts/mysql-takeover by config/render.sh: edit there.
# Set the image to the one that you built:
#   kubectl apply --server-side -f install.yaml
#   kubectl -n $namespace set image deployment/mysql-takeover operator=registry.example.com/mysql-takeover:$version
---
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
HEADER
    render
} >"$scratch/install.yaml"

{
    cat <<HEADER
# mysql-takeover $version, serving the one namespace that it runs in, with Roles only. Besides the definitions of its
# two kinds nothing here is cluster-wide. Rendered from charts/mysql-takeover by config/render.sh: edit there.
# The namespace has to exist. To use one of yours, here shop:
#   sed 's/$namespace/shop/g' install-namespaced.yaml | kubectl apply --server-side -f -
#   kubectl -n shop set image deployment/mysql-takeover operator=registry.example.com/mysql-takeover:$version
HEADER
    render --set "watchNamespaces={$namespace}" \
        --set rbac.aggregateToView=false --set rbac.aggregateToEdit=false --set rbac.aggregateToAdmin=false
} >"$scratch/install-namespaced.yaml"

mv "$scratch/install.yaml" "$scratch/install-namespaced.yaml" "$output/"
