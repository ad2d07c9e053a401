// What node-vault can do and the table leaves out, with the reason.
'use strict';

module.exports = {
    addKubernetesRole: 'login by Kubernetes comes later',
    getKubernetesRole: 'login by Kubernetes comes later',
    deleteKubernetesRole: 'login by Kubernetes comes later',
    kubernetesLogin: 'login by Kubernetes comes later',
    generateDatabaseCredentials: 'dynamic credentials come later',
    gcpLogin: 'no login by Google Cloud',
    githubLogin: 'no login by GitHub',
    awsIamLogin: 'no login by AWS',
    ldapLogin: 'no login by LDAP',
    oktaLogin: 'no login by Okta',
    radiusLogin: 'no login by RADIUS',
    certLogin: 'login by certificate comes later',
    jwtLogin: 'login by JWT comes later',
    // Of the client itself.
    generateFunction: 'calls no server',
    handleVaultResponse: 'calls no server',
    stopAllRenewals: 'calls no server',
    stopLeaseRenewal: 'calls no server',
    stopTokenRenewal: 'calls no server',
};
