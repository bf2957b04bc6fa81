// Eight channels of a pixel, what a thread works on at a time. Their ReLU bits are a byte of `aux`,
// their pooling decisions a word, and their numbers one or two vectors of 16 bytes.

enum : u32 { GROUP = 8 };

typedef Values<GROUP> Channels;

__device__ inline u32 groups_of(u32 c) { return (c + GROUP - 1) / GROUP; }

struct Group {
    u64 pixel;
    // Its first channel.
    u32 first;
    // Channels it has: fewer than GROUP at the end of a pixel.
    u32 len;

    // The i-th group of maps of c channels.
    __device__ Group(u64 i, u32 c) {
        const u32 groups = groups_of(c);
        pixel = i / groups;
        first = (u32)(i - pixel * groups) * GROUP;
        len = min_u32(c - first, GROUP);
    }
};

// A pixel of a map [n, h, w].
struct Place {
    u64 image;
    u32 row, column;

    __device__ Place(u64 pixel, u32 h, u32 w) {
        const u64 line = pixel / w;
        column = (u32)(pixel - line * w);
        image = line / h;
        row = (u32)(line - image * h);
    }

    // Goes on by as many pixels as `step` is from the first: a carry from column to row and from row
    // to image, where finding the place anew takes two divisions.
    __device__ void advance(const Place& step, u32 h, u32 w) {
        column += step.column;
        const bool next_row = column >= w;
        column -= next_row ? w : 0;
        row += step.row + next_row;
        const bool next_image = row >= h;
        row -= next_image ? h : 0;
        image += step.image + next_image;
    }
};

// A pooling decision in `aux`: four bits a channel, from the lowest up. Two are the winner's place
// in its 2×2 window, in row-major order; the third is set if ReLU lets the winner through.
__device__ inline u32 pool_bits(u32 winner, bool alive) { return winner | (alive ? 4u : 0u); }
__device__ inline u32 pool_winner(u32 word, int k) { return word >> (4 * k) & 3; }
__device__ inline bool pool_alive(u32 word, int k) { return word >> (4 * k) & 4; }

// ReLU of a 2×2 window's largest number, of the first in row-major order where several are, for each
// channel.
struct Pool {
    Channels largest;
    u32 winners[GROUP];

    // The window's numbers, from place 0 to place 3.
    __device__ void take(u32 in_window, const Channels& z) {
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const bool wins = in_window == 0 || z.at[k] > largest.at[k];
            largest.at[k] = wins ? z.at[k] : largest.at[k];
            winners[k] = wins ? in_window : winners[k];
        }
    }

    // The decisions, for `aux`; ReLU is done.
    __device__ u32 decide() {
        u32 word = 0;
#pragma unroll
        for (int k = 0; k < GROUP; k++) {
            const bool alive = largest.at[k] > 0.0f;
            largest.at[k] = alive ? largest.at[k] : 0.0f;
            word |= pool_bits(winners[k], alive) << (4 * k);
        }
        return word;
    }
};
