/* A kubeconfig, and the answer of a credential plugin. */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "kube/auth.h"
#include "kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_kube_config *c = NULL;
	struct kf_auth_credential credential;
	struct kf_error err = {0};
	int r = kf_kube_config_parse((const char *)data, n, "/dir/fuzz", NULL, &c, &err);

	/* a failure has a sentence, a success a server */
	if (r > 0 || (r < 0 && !err.msg[0]) || (r == 0 && !c->server))
		abort();
	kf_kube_config_free(c);
	if (kf_auth_credential_read((const char *)data, n, "client.authentication.k8s.io/v1",
				    &credential, NULL) == 0)
		kf_auth_credential_done(&credential);
	return 0;
}
