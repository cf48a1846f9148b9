// choices.cuh: which algorithm runs which matrix product, kept in a file: <folder>/<device>-<library version>.txt, one line a product.
// Private to kernels/cuda/.
//
// DESIGN. The file is the truth that all processes of a machine share; it only ever grows, and an entry never changes, so that runs
// repeat bit for bit. A lock file beside it is held while a product is timed. Written to a temporary file, synced, renamed. A damaged
// file, one of another version, or a folder that cannot be written is as if there were none.
#ifndef VG_KERNELS_CUDA_CHOICES_CUH
#define VG_KERNELS_CUDA_CHOICES_CUH

#include <cstddef>

struct vg_choices {
    char *path, *lock_path; // NULL: nothing is kept
    int lock;               // descriptor while it is held
    char *text;             // the whole file, as read under the lock
};

// No folder, or no memory: nothing is kept.
void vg_choices_open(vg_choices *choices, const char *folder, const char *device, size_t version);
void vg_choices_close(vg_choices *choices);
bool vg_choices_kept(const vg_choices *choices);

// Waits for the lock and reads the file. false: it cannot be had, and nothing may be chosen by time.
bool vg_choices_lock(vg_choices *choices);
void vg_choices_unlock(vg_choices *choices);

// Both under the lock. find: false when the key is absent. add: false when it could not be written; it then does not count.
bool vg_choices_find(const vg_choices *choices, const void *key, size_t key_bytes, void *value,
                     size_t value_bytes);
bool vg_choices_add(vg_choices *choices, const void *key, size_t key_bytes, const void *value,
                    size_t value_bytes);

#endif
