# Reads the secrets of the scope in its entity's metadata "scope", such as acme:prod:api, and nothing else:
# those of the service, of its environment and of its project.

path "secret/data/{{identity.entity.metadata.scope.project}}/+" {
  capabilities = ["read"]
}
path "secret/data/{{identity.entity.metadata.scope.project}}/{{identity.entity.metadata.scope.environment}}/+" {
  capabilities = ["read"]
}
path "secret/data/{{identity.entity.metadata.scope.project}}/{{identity.entity.metadata.scope.environment}}/{{identity.entity.metadata.scope.service}}/+" {
  capabilities = ["read"]
}

# Their names.
path "secret/metadata/{{identity.entity.metadata.scope.project}}/" {
  capabilities = ["list"]
}
path "secret/metadata/{{identity.entity.metadata.scope.project}}/{{identity.entity.metadata.scope.environment}}/" {
  capabilities = ["list"]
}
path "secret/metadata/{{identity.entity.metadata.scope.project}}/{{identity.entity.metadata.scope.environment}}/{{identity.entity.metadata.scope.service}}/" {
  capabilities = ["list"]
}
