"""The image pool's exchange: new pictures are swapped for remembered ones, in memory that stays where it is.

images [N,H,W,C], buffer [size,H,W,C], decisions [N,2] int32 -> chosen [N,H,W,C]; writes `buffer` in place.
Row i of decisions is (place, old) for picture i, taken in order: it goes into buffer[place], unless place is -1; what it
is answered with is the picture that lay there if old is 1, else itself. Who decides: train/models/image_pool.py.

Why on the device: the exchange lies between the two players' updates. In the step it is one launch of 400 for each player, and
the step is one CUDA graph. By the host it would cut the step into two graphs, which must share their memory, and would itself
take a copy for each picture and a stack.
"""
