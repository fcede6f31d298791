/*
 * The bytes of a watch: cut in two at a place that the first byte chooses, the events must be
 * those of the stream fed whole; and objects go through the codec.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kube/codec.h"
#include "kube/page.h"
#include "kube/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int see(void *ud, enum kf_watch_type type, json_t *object)
{
	struct kf_kube_node *node = NULL;
	struct kf_kube_pod *pod = NULL;

	if (kf_kube_node_read(object, &node, NULL) == 0)
		kf_kube_node_free(node);
	if (kf_kube_pod_read(object, &pod, NULL) == 0)
		kf_kube_pod_free(pod);
	++*(unsigned *)ud;
	return 0;
}

static int none(void *ud, json_t *item)
{
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct kf_watch_parser whole = {0}, cut = {0};
	struct kf_page page = {0};
	unsigned of_whole = 0, of_cut = 0;
	const char *bytes = (const char *)data + 1;
	size_t at;
	int a, b;

	if (n < 2)
		return 0;
	n--;
	at = n * data[0] / 256;
	a = kf_watch_feed(&whole, bytes, n, see, &of_whole, NULL);
	b = kf_watch_feed(&cut, bytes, at, see, &of_cut, NULL);
	if (b == 0)
		b = kf_watch_feed(&cut, bytes + at, n - at, see, &of_cut, NULL);
	if (a != b || of_whole != of_cut || (a == 0 && whole.depth != cut.depth))
		abort();
	kf_watch_parser_done(&whole);
	kf_watch_parser_done(&cut);
	if (kf_page_read(bytes, n, none, NULL, &page, NULL) == 0) {
		free(page.version);
		free(page.more);
	}
	return 0;
}
