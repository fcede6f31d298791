/* The PodResources client against the stand-in kubelet. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "grpc/address.h"
#include "kubelet/checkpoint.h"
#include "kubelet/podresources.h"
#include "pair.h"

#define SMALL "nvidia.com/mig-1g.5gb"

struct seen {
	struct kf_podresources *client; /* asked again from the callback when set */
	struct pair *pair;
	unsigned calls, n;
	char first[400];
	struct kf_error err;
};

static void on_rows(void *ud, const struct kf_podresources_row *row, unsigned n,
		    const struct kf_error *err)
{
	struct seen *s = ud;

	s->calls++;
	s->n = n;
	s->err = err ? *err : (struct kf_error){0};
	s->first[0] = '\0';
	if (n)
		snprintf(s->first, sizeof(s->first), "%s %s %s/%s/%s", row[0].resource, row[0].id,
			 row[0].pod_namespace, row[0].pod, row[0].container);
	if (s->client) {
		struct kf_podresources *c = s->client;

		s->client = NULL;
		assert_int_equal(kf_podresources_list(c, on_rows, s, NULL), 0);
	}
}

static void on_done(void *ud)
{
	*(int *)ud = 1;
}

static struct kf_podresources *client(struct pair *p)
{
	struct kf_podresources *c;
	char path[256];

	snprintf(path, sizeof(path), "%s/../pod-resources/kubelet.sock", p->directory);
	assert_int_equal(kf_podresources_start(&p->loop, path, &c, NULL), 0);
	return c;
}

static void stop(struct pair *p, struct kf_podresources *c)
{
	int gone = 0;

	kf_podresources_stop(c, on_done, &gone);
	pair_until(p, gone);
}

static void tells_who_holds_what(void **state)
{
	struct kf_podresources *c;
	struct seen s = {0};
	struct pair p;
	unsigned i;

	pair_start(&p);
	pair_offer(&p, SMALL, 7);
	p.offers.offer[0].device[3].healthy = 0;
	pair_publish(&p);
	pair_until(&p, pair_allocatable(&p, SMALL) == 6);
	pair_add(&p, "a", SMALL, 2);
	pair_until(&p, pair_running(&p, "a"));
	c = client(&p);
	for (i = 1; i <= 3; i++) {
		assert_int_equal(kf_podresources_list(c, on_rows, &s, NULL), 0);
		assert_int_equal(s.calls, i * 2 - 2); /* never from inside the call */
		pair_until(&p, s.calls == i * 2 - 1);
		assert_int_equal(s.n, 2);
		assert_string_equal(s.first, SMALL " " SMALL "/6 default/a/main");
		kf_podresources_allocatable(c, on_rows, &s, NULL);
		pair_until(&p, s.calls == i * 2);
		assert_int_equal(s.n, 6); /* healthy, held or not */
		assert_string_equal(s.first, SMALL " " SMALL "/0 //");
	}
	stop(&p, c);
	pair_end(&p);
}

static void connects_again_after_a_restart(void **state)
{
	struct kf_podresources *c;
	struct seen s = {0};
	struct pair p;

	pair_start(&p);
	c = client(&p);
	kf_podresources_list(c, on_rows, &s, NULL);
	pair_until(&p, s.calls == 1);
	assert_int_equal(s.err.code, KF_E_NONE);
	pair_stop_kubelet(&p);
	kf_podresources_list(c, on_rows, &s, NULL);
	assert_int_equal(s.calls, 1);
	pair_until(&p, s.calls == 2);
	assert_int_equal(s.err.code, KF_E_SYSTEM);
	assert_int_equal(s.err.detail, ENOENT);
	pair_start_kubelet(&p);
	kf_podresources_list(c, on_rows, &s, NULL);
	pair_until(&p, s.calls == 3);
	assert_int_equal(s.err.code, KF_E_NONE);
	stop(&p, c);
	pair_end(&p);
}

static void a_call_on_a_connection_that_ends_fails_and_may_be_asked_again(void **state)
{
	struct kf_podresources *c;
	struct seen s = {0};
	struct pair p;
	char path[256];
	int fd, peer;

	pair_start(&p);
	pair_stop_kubelet(&p);
	snprintf(path, sizeof(path), "%s/../pod-resources/kubelet.sock", p.directory);
	fd = kf_unix_bind(path, NULL);
	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 5), 0);
	c = client(&p);
	s.client = c;
	kf_podresources_list(c, on_rows, &s, NULL);
	pair_until(&p, (peer = accept(fd, NULL, NULL)) >= 0);
	close(peer); /* in the middle of the call; its callback asks again */
	pair_until(&p, s.calls == 1);
	assert_int_equal(s.err.code, KF_E_REMOTE);
	pair_until(&p, (peer = accept(fd, NULL, NULL)) >= 0);
	close(fd);
	stop(&p, c); /* with a call under way: its callback does not come */
	assert_int_equal(s.calls, 1);
	close(peer);
	unlink(path);
	pair_end(&p);
}

static void the_checkpoint_tells_the_same_and_forgets_late(void **state)
{
	struct kf_checkpoint c = {0};
	struct pair p;
	char path[256];

	pair_start(&p);
	snprintf(path, sizeof(path), "%s/" KF_CHECKPOINT_FILE, p.directory);
	pair_offer(&p, SMALL, 2);
	pair_publish(&p);
	pair_until(&p, pair_allocatable(&p, SMALL) == 2);
	pair_add(&p, "a", SMALL, 1);
	pair_until(&p, pair_running(&p, "a"));
	assert_int_equal(kf_checkpoint_read(path, &c, NULL), 0);
	assert_int_equal(c.n, 1);
	assert_string_equal(c.row[0].id, SMALL "/1");
	assert_string_equal(c.row[0].pod_uid, pair_pod(&p, "a")->uid);
	kf_checkpoint_done(&c);
	kf_sim_kubelet_delete(p.kubelet, "a", NULL);
	assert_int_equal(kf_checkpoint_read(path, &c, NULL), 0);
	assert_int_equal(c.n, 1);
	kf_checkpoint_done(&c);
	pair_add(&p, "b", SMALL, 2);
	pair_until(&p, pair_running(&p, "b"));
	assert_int_equal(kf_checkpoint_read(path, &c, NULL), 0);
	assert_int_equal(c.n, 2);
	kf_checkpoint_done(&c);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_who_holds_what),
		cmocka_unit_test(connects_again_after_a_restart),
		cmocka_unit_test(a_call_on_a_connection_that_ends_fails_and_may_be_asked_again),
		cmocka_unit_test(the_checkpoint_tells_the_same_and_forgets_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
