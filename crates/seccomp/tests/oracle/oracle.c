/*
 * Asks libseccomp what it would do. Two uses:
 *
 *   oracle numbers   reads names, one a line; prints each with its number on x86_64, x32, x86, aarch64 and arm
 *   oracle filter    reads lines `default ACTION`, `arch NAME`, `rule ACTION NAME COUNT [ARG OP A B]...`
 *                    (ACTION in hexadecimal, OP as enum scmp_compare, A and B decimal) and `foreign`, which removes
 *                    this machine's own architecture; writes the BPF program
 *
 * Exit code 3 where libseccomp refuses a rule because it contradicts another.
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int numbers(void)
{
	static const uint32_t arches[] = {SCMP_ARCH_X86_64, SCMP_ARCH_X32, SCMP_ARCH_X86, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM};
	char name[128];

	while (scanf("%127s", name) == 1) {
		printf("%s", name);
		for (unsigned int i = 0; i < sizeof(arches) / sizeof(*arches); i++)
			printf(" %d", seccomp_syscall_resolve_name_arch(arches[i], name));
		printf("\n");
	}
	return 0;
}

static int rule(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp compare[6];
	char name[128];
	unsigned int count;
	uint32_t action;
	int number, code;

	if (scanf("%" SCNx32 " %127s %u", &action, name, &count) != 3 || count > 6)
		return 1;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int op;

		if (scanf("%u %u %" SCNu64 " %" SCNu64, &compare[i].arg, &op, &compare[i].datum_a, &compare[i].datum_b) != 4)
			return 1;
		compare[i].op = op;
	}
	number = seccomp_syscall_resolve_name(name);
	if (number == __NR_SCMP_ERROR)
		return 0;
	code = seccomp_rule_add_array(filter, action, number, count, compare);
	if (code == 0)
		return 0;
	fprintf(stderr, "rule for %s: %s\n", name, strerror(-code));
	return code == -EEXIST ? 3 : 1;
}

static int filter(void)
{
	scmp_filter_ctx filter = NULL;
	char word[128];
	uint32_t action;
	int code;

	while (scanf("%127s", word) == 1) {
		if (strcmp(word, "default") == 0) {
			if (scanf("%" SCNx32, &action) != 1 || (filter = seccomp_init(action)) == NULL)
				return 1;
		} else if (strcmp(word, "arch") == 0) {
			if (scanf("%127s", word) != 1)
				return 1;
			code = seccomp_arch_add(filter, seccomp_arch_resolve_name(word));
			if (code != 0 && code != -EEXIST)
				return 1;
		} else if (strcmp(word, "foreign") == 0) {
			if (seccomp_arch_remove(filter, SCMP_ARCH_NATIVE) != 0)
				return 1;
		} else {
			code = rule(filter);
			if (code != 0)
				return code;
		}
	}
	return seccomp_export_bpf(filter, STDOUT_FILENO) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "numbers") == 0)
		return numbers();
	return filter();
}
