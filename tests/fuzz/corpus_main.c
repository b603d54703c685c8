/* Feeds every file of the given directories to a fuzzer's function, once.
 *
 * Linked in libFuzzer's place, so that any compiler and every `make test` goes through the corpus.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

/* Feed one file, in a block of exactly its size, so that a sanitizer sees a read past the end. */
static void replay_file(const char *path, size_t size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);
    if (!file || !data || fread(data, 1, size, file) != size) {
        perror(path);
        exit(2);
    }
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

/* Returns how many files were fed. */
static int replay_dir(const char *dir) {
    DIR *d = opendir(dir);
    if (!d) {
        perror(dir);
        exit(2);
    }
    int files = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        char path[4096];
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            replay_file(path, (size_t)st.st_size);
            files++;
        }
    }
    closedir(d);
    return files;
}

int main(int argc, char **argv) {
    int files = 0;
    for (int i = 1; i < argc; i++)
        files += replay_dir(argv[i]);
    if (files == 0)
        fprintf(stderr, "no input to replay\n");
    return files == 0;
}
